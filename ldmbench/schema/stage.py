"""Stages and plans: what is to be done, keyed by what it means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, JsonValue, SerializeAsAny, model_validator

from ldmbench.schema.base import AxisValue, Kind, Noun, api_version
from ldmbench.schema.local import Local
from ldmbench.schema.params import Params, with_params
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.sample import Choose


class Input(Noun):
    """What a stage reads: another stage, and how much of it when that one is sharded.

    A sharded stage reads of a sharded input what its own shard covers, so it states no count.
    """

    kind: Kind
    key: str
    count: int | None = Field(default=None, description="items 0..count of a sharded stage")


class Stage(Noun):
    """A unit of work with a key; a sharded one holds items 0..count in shards of `shard` items."""

    kind: Kind
    key: str
    params: SerializeAsAny[Params]
    inputs: dict[str, Input] = {}
    version: int = 1
    shard: int | None = None
    count: int | None = None
    local: Local = Field(
        default=Local(), description="paths and the like: needed to run, no part of the key"
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, found: object) -> object:
        return with_params(found)

    @property
    def label(self) -> str:
        """Short text for people: kind and the first digits of the key."""
        return f"{self.kind} {self.key[:8]}"


@dataclass(frozen=True)
class Role:
    """What a stage is to a cell: its denoiser, its samples, its scores of one family.

    Attributes:
        name: the stage's kind; of scores what is scored: a metric family, rfid, truth, ...
        protocol: under which scores are made; "" for other stages.
    """

    name: str
    protocol: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the role that is written as `text`: `samples`, or `shapes-v1:moments`."""
        protocol, _, name = text.rpartition(":")
        return cls(name, protocol)

    def __str__(self) -> str:
        return f"{self.protocol}:{self.name}" if self.protocol else self.name


class Cell(Noun):
    """WHAT is measured: one point of model x dataset x sampler x steps x eta x guidance x seeds."""

    id: str
    model: str
    dataset: str
    axes: dict[str, AxisValue] = Field(
        default={}, description="the swept fields of model and dataset"
    )
    data_kind: str | None = Field(default=None, description="`kind` of its data")
    resolution: int | None = Field(default=None, description="pixels of a side of its data")
    conditioning: str | None = Field(
        default=None, description="of its model, a row of catalog/tasks.py where it is one"
    )
    f: int | None = None
    regularization: str | None = None
    sampler: str | None = Field(
        default=None, description="null, as its settings are, of a first stage alone"
    )
    steps: int | None = None
    step_unit: Literal["steps", "evaluations"] = Field(
        default="steps", description="what `steps` count: evaluations where a model's code says so"
    )
    eta: float | None = None
    guidance: float | None = None
    progress: float = 1.0
    train_seed: int = 0
    sample_seed: int | None = None
    count: int = Field(description="samples; of a first stage alone, images that it reconstructs")
    chooses: str | None = Field(
        default=None, description="field of sampling that this cell only helps to choose"
    )
    guidance_interval: tuple[float, float] | None = Field(
        default=None, description="times with guidance, in the model's own time; null: all"
    )
    guidance_model: str | None = Field(
        default=None, description="the model that guides; null: itself without its condition"
    )
    timesteps: str | None = Field(default=None, description="step rule; null: the sampler's own")
    quantize: str | None = None
    size: str | None = Field(
        default=None, description="of samples, in training sides: 2, or 2x3; null: 1"
    )
    latents: str | None = Field(
        default=None,
        description="of a KL alone: what of its posterior; null: by protocol",
    )
    weights: str | None = Field(default=None, description="of a loaded model: ema or raw")
    weights_from: str | None = Field(
        default=None, description="of a loaded model: its file, and in brackets the entry taken"
    )
    first_stage_from: str | None = Field(
        default=None, description="what a first stage from disk is, under a denoiser trained here"
    )
    null_class: int | None = Field(default=None, description="of a loaded model that has one")
    given: dict[str, str] = Field(
        default={}, description="how a task's condition is made of a real image"
    )
    digest: str | None = Field(
        default=None, description="of weights and config of a loaded model, of the source of code"
    )
    stages: dict[str, str] = Field(default={}, description="role -> key of the stages it needs")

    @property
    def is_sampled(self) -> bool:
        """Whether it has samples; a first stage alone has none."""
        return self.sampler is not None

    @property
    def roles(self) -> dict[Role, str]:
        """Role -> key of the stages it needs."""
        return {Role.parse(text): key for text, key in self.stages.items()}


class Splits(Noun):
    """How many images of a dataset serve for what."""

    train: int | None = Field(description="null: none is left, and nothing is trained")
    validation: int | None = Field(description="null: no end")
    references: dict[str, dict[str, str | int]] = Field(
        description="protocol -> the split to compare samples with, and how many images of it"
    )


class Plan(Noun):
    """Cells and the stages under them, in an order in which they can run."""

    suite: str
    suite_digest: str
    metrics: tuple[str, ...]
    probes: tuple[str, ...]
    price_per_device_hour: float | None = None
    v100_factor: float | None = None
    protocols: tuple[Protocol, ...] = ()
    cells: tuple[Cell, ...]
    stages: tuple[Stage, ...]
    choose: Choose | None = None
    splits: dict[str, Splits] = Field(default={}, description="of each dataset")
    cautions: dict[str, tuple[str, ...]] = Field(
        default={}, description="cell -> what to know of its data before its numbers"
    )

    def by_key(self) -> dict[str, Stage]:
        """Return the stages by key."""
        return {stage.key: stage for stage in self.stages}


class Manifest(Noun):
    """What lies beside an artefact: what it means, what it holds, what made it."""

    api_version: int = api_version(1)
    kind: Kind
    key: str
    shard: tuple[int, int] | None = None
    version: int
    params: dict[str, JsonValue]
    inputs: dict[str, Input]
    input_digests: dict[str, str] = Field(
        description="role -> digest; of scores also role/images, role/captions: store/provenance.py"
    )
    outputs: dict[str, dict[str, str | int]] = Field(description="file -> sha256, bytes")
    digest: str = Field(description="of all outputs")
    code: str = Field(description="digest of the code that made it")
    machine: dict[str, JsonValue]
    versions: dict[str, str]
    started: str
    seconds: float = Field(description="wall time of the stage body")


def lineage(keys: Iterable[str], stages: Mapping[str, Stage]) -> set[str]:
    """Return the keys of stages and of everything that they are made from."""
    found, left = set[str](), [key for key in keys if key in stages]
    while left:
        key = left.pop()
        if key not in found:
            found.add(key)
            left += [item.key for item in stages[key].inputs.values()]
    return found
