"""How a network is optimised: fields that a first stage and a denoiser share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ldmbench.schema.base import AXIS, Grown, Positive

TrainingPrecision = Literal["float32", "tf32", "bfloat16"]
RateSchedule = Literal["constant", "cosine", "linear"]
Momentum = Annotated[float, Field(ge=0, lt=1)]


class Optimised(Grown):
    """AdamW (arXiv:1711.05101), its learning rate, and the arithmetic of a training step."""

    schedule: Annotated[RateSchedule, AXIS] = Field(
        default="constant",
        description="of the learning rate, after its warm-up: falls to 0 over the whole budget as a"
        " cosine or a line",
    )
    weight_decay: Annotated[float, AXIS, Field(ge=0)] = Field(
        default=0.01, description="of AdamW, decoupled from the gradient"
    )
    betas: tuple[Momentum, Momentum] | None = Field(
        default=None,
        description="of AdamW; unset: 0.9 and 0.999 of a denoiser, 0.5 and 0.9 of a first stage",
    )
    clip: Annotated[float | None, AXIS, Positive] = Field(
        default=None, description="most that the norm of all gradients together may be"
    )
    accumulate: Annotated[int, Positive] = Field(
        default=1, description="parts in which a batch is computed, one after the other"
    )
    precision: Annotated[TrainingPrecision, AXIS] = Field(
        default="float32",
        description="of products and convolutions in training: tf32 on GPUs, bfloat16 by autocast;"
        " weights, their average and the optimiser's state stay float32",
    )
