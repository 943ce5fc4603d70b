"""What a stage needs to run and what is no part of its key: where files and code lie."""

from __future__ import annotations

from pydantic import AliasChoices, Field, JsonValue

from ldmbench.schema.base import Noun, Sparse


class Code(Sparse):
    """Code of the user's own, and the digest of its source when it was planned."""

    target: str = Field(description="module:name, or the name of an entry point")
    folder: str = Field(description="of the suite file")
    digest: str
    options: dict[str, JsonValue] = {}
    files: tuple[str, ...] = ()
    conditioning: str = Field(default="none", description="of a model")
    resolution: int = Field(default=0, description="of a model's images")
    step_unit: str = Field(default="steps", description="of a model, what `steps` count")


class LoadedFrom(Noun):
    """Where a model from disk lies, its digest when it was planned, and how it is read."""

    path: str
    digest: str
    config: str | None
    tokenizer: str | None
    ema: bool
    ignore: tuple[str, ...]
    null_class: int | None
    guided_channels: int | None


class OwnCall(Sparse):
    """How a pipeline from disk that samples by itself is called."""

    side: int = Field(description="of its images")
    call: dict[str, JsonValue] = Field(default={}, description="further arguments")


class PlannedFacts(Sparse):
    """What a plan read from a model's configs; the worker compares the loaded model with it."""

    source: str
    f: int
    sides: tuple[int, int]
    conditioning: str
    regularization: str
    quantize: str
    timesteps: str | None
    weights: str
    null_class: int | None
    scale: float | None = None


class Local(Sparse):
    """What a stage needs to run; fields that do not concern it have their default."""

    path: str | None = Field(default=None, description="of a folder or file of images")
    digests: str | None = Field(default=None, description="folder of remembered digests of images")
    prepare: str | None = Field(
        default=None, description="the recipe that crop and resize were written by"
    )
    captions: str | None = Field(default=None, description="file of captions beside images")
    call: Code | None = Field(default=None, description="the user's own code")
    load: LoadedFrom | None = Field(default=None, description="a model from disk")
    guide: LoadedFrom | None = Field(default=None, description="a model from disk that guides")
    own: OwnCall | None = Field(default=None, description="of such a model that samples by itself")
    facts: PlannedFacts | None = Field(default=None, description="of that model")
    given: dict[str, str] = Field(default={}, description="how its condition is made of an image")
    assumed: tuple[str, ...] = Field(default=(), description="what no file of it states")
    bytes: int = Field(default=0, description="of its weights")
    text: str | None = Field(default=None, description="the vocabulary of a text encoder")
    conditioning: str = Field(
        default="",
        validation_alias=AliasChoices("conditioning", "told"),
        description="conditioning of the model that is sampled",
    )
    keep_state: bool = Field(
        default=False, description="a training's state at its end is kept for longer trainings"
    )
    expected: int = Field(default=0, description="images that an extractor sees in the plan")
    refs: dict[str, str] = Field(
        default={}, description="count -> how signatures name as many first images of a file"
    )
    detector: str | None = Field(default=None, description="folder of a detector of objects")
    segmenter: str | None = Field(default=None, description="folder of a segmenter from disk")
    reads: dict[str, tuple[str, str]] = Field(
        default={}, description="argument of the user's own metric -> input and file"
    )


NOWHERE = Local()
"""Of a stage that needs nothing but its inputs."""
