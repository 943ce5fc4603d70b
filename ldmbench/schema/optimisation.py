"""How a network is optimised: fields that a first stage and a denoiser share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ldmbench.schema.base import AXIS, Grown, Positive

TrainingPrecision = Literal["float32", "tf32", "bfloat16"]
RateSchedule = Literal["constant", "cosine", "linear"]
Momentum = Annotated[float, Field(ge=0, lt=1)]


LEAST_CAPABILITY = (8, 0)
"""Compute capability of GPUs from which on they have tf32 and bfloat16 (Ampere)."""


def lack_of(precision: TrainingPrecision, capability: str | None) -> str | None:
    """Say why a device cannot train in a precision, and what it can; None if it can.

    Args:
        precision: that is asked for.
        capability: of a GPU, such as "8.0"; None for a processor.

    Examples:
        >>> lack_of("bfloat16", None)
        >>> lack_of("tf32", None)
        'found tf32, which processors lack; allowed on one: float32, bfloat16'
    """
    if precision == "float32":
        return None
    if capability is None:
        lacks = precision == "tf32"
        return (
            "found tf32, which processors lack; allowed on one: float32, bfloat16"
            if lacks
            else None
        )
    if tuple(int(part) for part in capability.split(".")) >= LEAST_CAPABILITY:
        return None
    return (
        f"found {precision}, which GPUs have from compute capability 8.0 on, and this one is of"
        f" {capability}; allowed on it: float32"
    )


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
