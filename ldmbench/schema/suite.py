"""The suite: what a person writes. The JSON Schema for editors comes from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from ldmbench.catalog.measures import PROBES
from ldmbench.catalog.metrics import BY_RANK, IN_SUITE
from ldmbench.plugin_files import points
from ldmbench.registry import nearest
from ldmbench.schema.base import Noun, Positive
from ldmbench.schema.data import Data
from ldmbench.schema.models import Model
from ldmbench.schema.protocol import Protocols
from ldmbench.schema.sample import Choose, SampleParams

MOST_METRICS = 100


def _known(name: str) -> str:
    """Refuse a metric that is none of ours, no module:name and no entry point."""
    if name in IN_SUITE or ":" in name or name in points("metrics"):
        return name
    own = "module:name of your own"
    raise ValueError(
        f"found '{name}'{nearest(name, IN_SUITE)}; allowed: {', '.join(IN_SUITE)}, {own}"
    )


def _few(names: object) -> object:
    """Refuse a long list before each of its names is looked for among what is installed."""
    if isinstance(names, list | tuple) and len(names) > MOST_METRICS:
        raise ValueError(f"found {len(names):,} metrics; a suite has at most {MOST_METRICS}")
    return names


_WRITTEN = {"anyOf": [{"enum": list(IN_SUITE)}, {"type": "string", "description": "your own"}]}
MetricName = Annotated[str, AfterValidator(_known), WithJsonSchema(_WRITTEN)]
if TYPE_CHECKING:
    Probe = str
else:
    Probe = Literal[tuple(PROBES)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class MlflowSettings(Noun):
    """Where the mirror of a run goes."""

    enabled: bool = True
    tracking_uri: str | None = Field(default=None, description="SQLite in the store when unset")
    experiment: str | None = Field(default=None, description="the suite's name when unset")


class SpeedSettings(Noun):
    """How speed is measured."""

    batch: Annotated[int, Field(gt=0, le=65_536)] = Field(
        default=16, description="images per throughput batch"
    )
    repeats: Annotated[int, Field(ge=2, le=10_000)] = 7
    price_per_device_hour: Annotated[float, Positive] | None = None
    v100_factor: Annotated[float, Positive] | None = Field(
        default=None, description="this device's speed in V100s (the paper: A100 = 2.2)"
    )


class Suite(Noun):
    """One benchmark: data x models x samplers, scored and timed. A list is an axis."""

    former = {"reconstruct": "reconstruction_count"}
    suite: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,80}$")]
    question: str = Field(default="", description="what the suite answers, for its report")
    protocol: Protocols = Field(
        default="shapes-v1",
        description="a name, a file such as ./mine.yaml, {base: NAME, field: value, ...}, or a list"
        " of these",
    )
    data: Annotated[dict[Name, Data], Field(min_length=1)]
    models: Annotated[dict[Name, Model], Field(min_length=1)]
    sample: SampleParams = SampleParams()
    choose: Choose | None = Field(
        default=None, description="which guidance is shown for each model, chosen on other seeds"
    )
    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1), BeforeValidator(_few)] = (
        BY_RANK[0],
    )
    detector: str | None = Field(
        default=None,
        description="folder of a DetrForObjectDetection, which judges the layouts of data with"
        " boxes; unset: shapes-seg, of kind: shapes alone",
    )
    segmenter: str | None = Field(
        default=None,
        description="folder of a segmentation model of transformers, which judges the maps of data"
        " with maps of classes; unset: shapes-seg, of kind: shapes alone",
    )
    probes: tuple[Probe, ...] = ("throughput", "device_days")
    speed: SpeedSettings = SpeedSettings()
    reconstruction_count: Annotated[int, Positive] = Field(
        default=1000, description="reference images that judge the first stage"
    )
    include: tuple[str, ...] = Field(
        default=(), max_length=200, description="globs on cell ids; all when empty"
    )
    exclude: tuple[str, ...] = Field(default=(), max_length=200, description="globs on cell ids")
    mlflow: MlflowSettings = MlflowSettings()
