"""Sampling: what is drawn from a model, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from ldmbench.catalog.samplers import SAMPLERS
from ldmbench.schema.base import AXIS, Fraction, Noun, Positive

if TYPE_CHECKING:
    Sampler = str
else:
    Sampler = Literal[tuple(SAMPLERS)]
TimestepRule = Literal["compvis", "leading", "trailing", "linspace"]


LARGEST_FACTOR = 16
"""How many times its training side the height or width of a sample may be."""


def _factors(found: object) -> str:
    """Return factors of height and width as they are written: 2, or 2x3 where they differ."""
    parts: list[object] = list(found) if isinstance(found, list | tuple) else [found]
    if isinstance(found, str):
        parts = [*found.split("x")]
    whole = [int(str(part)) if str(part) in _NUMBERS else 0 for part in parts]
    if len(whole) not in (1, 2) or not all(whole):
        raise ValueError(
            f"found {found}; allowed: a whole number of training sides from 1 to {LARGEST_FACTOR},"
            " or [[height, width]] of two, such as [[2, 3]]"
        )
    return str(whole[0]) if len(set(whole)) == 1 else "x".join(map(str, whole))


_NUMBERS = frozenset(map(str, range(1, LARGEST_FACTOR + 1)))
_ONE_SIDE: dict[str, object] = {"type": "integer", "minimum": 1, "maximum": LARGEST_FACTOR}
_WRITTEN: dict[str, object] = {
    "anyOf": [
        _ONE_SIDE,
        {"type": "string", "pattern": "^[0-9]+(x[0-9]+)?$"},
        {"type": "array", "items": _ONE_SIDE, "minItems": 2, "maxItems": 2},
    ]
}
Size = Annotated[str, BeforeValidator(_factors), WithJsonSchema(_WRITTEN)]
"""Height and width of samples in sides of training."""


def _either(schema: dict[str, Any]) -> None:
    """Let an editor take two numbers, an axis of two sizes, though they look like one size too."""
    if "oneOf" in schema:
        schema["anyOf"] = schema.pop("oneOf")


def factors_of(size: str) -> tuple[int, int]:
    """Return the factors of height and width.

    >>> factors_of("2"), factors_of("2x3")
    ((2, 2), (2, 3))
    """
    height, _, width = size.partition("x")
    return int(height), int(width or height)


Interval = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]


class Choose(Noun):
    """How a field of sampling is chosen for each model: on sample seeds that are not scored."""

    axis: Literal["guidance", "guidance_interval", "eta", "steps"] = Field(
        default="guidance", description="a list of `sample`, of which one value is chosen"
    )
    metric: str = Field(description="a metric of the suite that has a better direction")
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = Field(
        description="sample seeds of the choice; none of them is in sample.seed"
    )
    rule: Literal["best_mean"] = Field(
        default="best_mean",
        description="best mean over training seeds and these seeds; of equal ones the first listed",
    )


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
    size: Annotated[Size, AXIS] = Field(
        default="1",
        description="height and width of samples in training sides, of models with a condition of"
        " image shape: 2, or [[2, 3]] for height and width (arXiv:2112.10752, section 4.3.2)",
        json_schema_extra=_either,
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
