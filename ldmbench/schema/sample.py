"""Sampling: what is drawn from a model, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ldmbench.catalog.samplers import SAMPLERS
from ldmbench.schema.base import AXIS, Fraction, Noun, Positive

if TYPE_CHECKING:
    Sampler = str
else:
    Sampler = Literal[tuple(SAMPLERS)]
TimestepRule = Literal["compvis", "leading", "trailing", "linspace"]


Interval = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]


class SampleParams(Noun):
    """One way to draw samples; lists are axes. The noise of sample i depends on (seed, i) alone."""

    former = {"progress": "checkpoint"}
    sampler: Annotated[Sampler, AXIS] = "ddim"
    steps: Annotated[int, AXIS, Field(ge=1, le=4000)] = 50
    eta: Annotated[float, AXIS, Field(ge=0, le=1)] = 0.0
    guidance: Annotated[float, AXIS, Field(ge=0)] = 1.0
    guidance_interval: Annotated[Interval | None, AXIS] = Field(
        default=None,
        description="lowest and highest time with guidance, in the model's own time, both ends in;"
        " unset: the model's, else all",
    )
    timesteps: Annotated[TimestepRule | None, AXIS] = Field(
        default=None,
        description="which of the training timesteps are visited; unset: the protocol's, else the"
        " model's own rule (trained here: leading)",
    )
    checkpoint: Annotated[float, AXIS, Fraction] = Field(
        default=1.0, description="share of the training budget whose weights are sampled"
    )
    quantize: Annotated[Literal["round", "truncate"] | None, AXIS] = Field(
        default=None,
        description="[-1, 1] -> 0..255; unset: the protocol's, else the model's own rule (trained"
        " here: round)",
    )
    precision: Annotated[Literal["float32", "bfloat16"], AXIS] = "float32"
    count: Annotated[int, Positive] | None = Field(
        default=None, description="samples per cell (n); unset: the protocol's, else 5,000"
    )
    seed: Annotated[int, AXIS, Field(ge=0)] = 0
    micro_batch: Annotated[int, Field(gt=0, le=65_536)] = Field(
        default=64, description="images computed together; belongs to the key"
    )
