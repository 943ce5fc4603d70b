"""What stages mean: a class of parameters per stage kind, or per way in which one is made.

A stage's key is made of these. A field without a default is always in the key; one with a default
is left out of it while it has that default, so that a new field moves no key of what was made
before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from pydantic import (
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from ldmbench.schema.base import Kind, Sparse, with_former_names, with_todays_names
from ldmbench.schema.data import Split
from ldmbench.schema.models import AutoencoderParams, Budget, DenoiserParams
from ldmbench.schema.sample import TimestepRule

Json: TypeAlias = dict[str, JsonValue]
Quantize = Literal["round", "truncate"]
Precision = Literal["float32", "bfloat16"]
DrawnClasses = Literal["balanced", "random"]


class Params(Sparse):
    """What one stage means."""

    def keyed(self) -> Json:
        """Return what a key is made of, as JSON."""
        return self.model_dump(mode="json")


def gathered(found: object, noun: type[Params], field: str) -> object:
    """Return the fields of `noun` as they are, and what is written beside them in one field."""
    if not isinstance(found, Mapping) or field in found:
        return found
    own = {name: value for name, value in found.items() if name in noun.model_fields}
    return {**own, field: {name: v for name, v in found.items() if name not in own}}


# ---------------------------------------------------------------- dataset


class Source(Params):
    """Where images come from, without their counts; a digest stands for a path."""

    resolution: int

    @property
    def preparation(self) -> tuple[str, str]:
        """How images are cropped and resized; "none" where they come as they are."""
        return "none", "none"


class ShapesSource(Source):
    """The embedded scenes."""

    kind: Literal["shapes"]
    texture: Literal["plain", "fine"]
    objects: int
    seed: int


class FilesSource(Source):
    """Images on disk, of any kind; `own` are the fields of that kind, written beside the others.

    `upscale` is 0 or 1 in keys of suites and false in those of `score`: both stay as they are.
    """

    kind: str
    crop: str
    resize: str
    upscale: bool | int
    reference: int
    validation: int
    digest: str
    order: Literal["digest"] | None = None
    captions: str | None = None
    own: Json = {}

    @property
    def preparation(self) -> tuple[str, str]:
        """How images are cropped and resized."""
        return self.crop, self.resize

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, found: object) -> object:
        return gathered(found, cls, "own")

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> Json:
        optional = {"order": self.order, "captions": self.captions, "own": None}
        found = {n: v for n, v in dump(self).items() if optional.get(n, True) is not None}
        return {**self.own, **found}


class CallSource(Source):
    """Images that code of the user's own makes; `options` are canonical JSON."""

    kind: Literal["call"]
    target: str
    options: str
    digest: str
    classes: int | None
    held: int | None


class FeaturesSource(Source):
    """Images of which only features or statistics are at hand, in a file."""

    kind: Literal["features"]
    crop: str
    resize: str
    digest: str

    @property
    def preparation(self) -> tuple[str, str]:
        """How images were cropped and resized; "given" where that is not known."""
        return self.crop, self.resize


AnySource = ShapesSource | CallSource | FeaturesSource | FilesSource


class DatasetParams(Params):
    """A source and one of its splits; `file` is all that a file of features is of.

    `classes` are those of prompts where they are not the images' own, `seed` that of the samples
    for which they are drawn. `window` is height and width of the centre that is cut out of the
    square of the source.
    """

    source: AnySource
    split: Split | Literal["file"]
    classes: DrawnClasses | None = None
    seed: int = 0
    window: tuple[int, int] | None = None


# ---------------------------------------------------------------- models


class IdentityStage(Params):
    """No first stage: f = 1."""

    f: Literal[1]
    resolution: int


class ShippedStage(Params):
    """A first stage that comes with ldmbench."""

    f: int
    regularization: Literal["kl", "vq"]
    weights: str
    digest: str
    resolution: int


class LoadedStage(Params):
    """The first stage of a model from disk; `loaded` is the digest of its weights and config."""

    f: int
    loaded: str
    regularization: str | None
    resolution: int
    codebook: int | None = None
    weights: Literal["ema"] | None = None
    taken: Json = {}
    ignore: tuple[str, ...] = ()


class CalledStage(Params):
    """A first stage in code of the user's own: encode and decode."""

    called: str
    digest: str
    options: Json
    resolution: int


class TakenStage(Params):
    """A first stage from disk, alone or under a denoiser that is trained here.

    `taken` is the digest of its weights and config. `scale` None is measured on training images,
    or the weights say it.
    """

    f: int
    taken: str
    channels: int
    regularization: str
    resolution: int
    codebook: int | None = None
    scale: float | None = None
    weights: Literal["ema"] | None = None
    ignore: tuple[str, ...] = ()


class TrainedStage(Params):
    """A first stage that is trained here; its fields are written beside the resolution."""

    section: AutoencoderParams
    resolution: int

    @property
    def f(self) -> int:
        """The downsampling factor."""
        return self.section.f

    @property
    def regularization(self) -> str:
        """Of its latents: kl or vq."""
        return self.section.regularization

    @property
    def codebook(self) -> int:
        """Codes of a VQ."""
        return self.section.codebook

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, found: object) -> object:
        if not isinstance(found, Mapping) or "section" in found:
            return found
        section = {name: value for name, value in found.items() if name != "resolution"}
        return {"section": section, "resolution": found.get("resolution")}

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> Json:
        section = self.section.model_dump(mode="json", exclude={"weights"})
        return {**section, "resolution": self.resolution}


class TrainedDenoiser(Params):
    """A denoiser that is trained here; its fields are written beside the budget."""

    section: DenoiserParams
    budget: Budget

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, found: object) -> object:
        if not isinstance(found, Mapping) or "section" in found:
            return found
        section = {name: value for name, value in found.items() if name != "budget"}
        return {
            "section": with_todays_names(DenoiserParams, section),
            "budget": found.get("budget"),
        }

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> Json:
        budget = self.budget.model_dump(mode="json")
        section = self.section.model_dump(mode="json")
        return {**with_former_names(DenoiserParams, section), "budget": budget}


class LoadedDenoiser(Params):
    """The denoiser of a model from disk, and the rules that samples of it follow.

    `taken` is what no file states, `given` how conditions are made of real images, `call` are
    further arguments of a pipeline that samples by itself.
    """

    loaded: str
    weights: str
    conditioning: str
    null_class: int | None
    tokenizer: str | None = None
    taken: Json = {}
    guided_channels: int | None = None
    ignore: tuple[str, ...] = ()
    given: dict[str, str] = {}
    call: Json = {}


class CalledDenoiser(Params):
    """A sampler in code of the user's own."""

    called: str
    digest: str
    options: Json
    conditioning: str
    resolution: int


# ---------------------------------------------------------------- what is made of them


class Latents(Params):
    """What is made of latents of images; of a KL they are draws of its posterior, or its modes."""

    micro_batch: int


class NeighboursParams(Latents):
    """Distances of latents to the nearest `neighbours` of `train` training latents."""

    posterior: Literal["sample", "mode"]
    train: int
    neighbours: int


class LatentsParams(Latents):
    """Latents of training images; of a KL they are draws of its posterior, or its modes."""

    posterior: Literal["sample", "mode"] = "sample"
    flip: bool = False


class ContextsParams(Params):
    """What a frozen text encoder makes of captions, float32; `encoder` is the digest of its files.

    `tokens` are those of a caption, `width` is that of a token's context.
    """

    encoder: str
    tokens: int
    width: int
    micro_batch: int


class ReconstructionsParams(Params):
    """Images through a first stage and back; `quantize` is the rule from [-1, 1] to 0..255.

    `posterior` is what of a KL's is decoded.
    """

    micro_batch: int
    quantize: Quantize = "round"
    posterior: Literal["mode", "sample"] = "mode"


class InterpolatedParams(ReconstructionsParams):
    """Images whose latents are moved towards one of `neighbours` nearest of `train` latents."""

    train: int
    neighbours: int
    alpha: float
    seed: int


class Sampling(Params):
    """A way to draw samples; `quantize` None is the model's own rule, `size` in training sides.

    `guide_progress` is the share of its training budget of a model that guides.
    """

    sampler: str
    steps: int
    eta: float
    guidance: float
    timesteps: TimestepRule | None
    precision: Precision
    quantize: Quantize | None = None
    seed: int = 0
    guidance_interval: tuple[float, float] | None = None
    size: str = "1"
    guide_progress: float = 1.0


class SamplesParams(Sampling):
    """Samples.

    What is computed in another way than it once was says so: `step: to-next` where timesteps do
    not lie T // steps apart, `evaluation: one-batch` where condition and null condition do not
    make two batches.
    """

    quantize: Quantize | None
    seed: int
    progress: float
    micro_batch: int
    step: Literal["to-next"] | None = None
    evaluation: Literal["one-batch"] | None = None


class SpeedParams(Sampling):
    """A measurement of speed; `only` names the probes where no time is measured."""

    batch: int
    repeats: int
    only: tuple[str, ...] | None = None


class CoderSpeedParams(Params):
    """A measurement of a first stage's encoding and decoding; `only` as in SpeedParams."""

    coder: Literal["both"]
    resolution: int
    batch: int
    repeats: int
    only: tuple[str, ...] | None = None


class CodingParams(Params):
    """Progressive coding by the weights at a share of the training budget."""

    progress: float


class ValidationParams(Params):
    """The loss of a denoiser on images that it was not trained on, at equidistant times."""

    progress: float
    times: int


# ---------------------------------------------------------------- features


class FeaturesParams(Params):
    """What an evaluator sees in images, or in one of the `patches` of each (data/windows.py)."""

    extractor: str
    weights: str
    precision: Precision
    spatial: bool = False
    patches: str = "1"


class ExtractedFeatures(FeaturesParams):
    """Features that an evaluator of the catalog extracts here."""

    micro_batch: int


class OwnFeatures(FeaturesParams):
    """Features that code of the user's own makes; `weights` is the digest of its source."""


class FileFeatures(FeaturesParams):
    """Features or, with `statistics`, means and covariances that were computed elsewhere.

    `ref` is how signatures name the images they are of, "" if that is not known.
    """

    file: str
    precision: Precision = "float32"
    double: bool = False
    statistics: bool = False
    ref: str = ""


# ---------------------------------------------------------------- scores


class Scores(Params):
    """Scores of one metric family, with intervals of a confidence."""

    family: str
    confidence: float


class ScoresParams(Scores):
    """Scores of one metric family; `options` are the fields that the family is keyed by.

    They are written beside the others. `weights` are digests of networks that compare images,
    `paired` says that features i of both sides are of one picture.
    """

    options: Json
    weights: tuple[str, ...] = ()
    paired: bool = False

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, found: object) -> object:
        return gathered(found, cls, "options")

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> Json:
        found = {n: v for n, v in dump(self).items() if n != "options"}
        optional = {"weights": bool(self.weights), "paired": self.paired}
        return {**self.options, **{n: v for n, v in found.items() if optional.get(n, True)}}


class OwnScoresParams(Scores):
    """A metric of the user's own; `digest` is that of its source."""

    family: Literal["own"]
    target: str
    digest: str


# ---------------------------------------------------------------- by kind

Coding = ValidationParams | CodingParams
Autoencoder = IdentityStage | ShippedStage | LoadedStage | TakenStage | CalledStage | TrainedStage
Denoiser = LoadedDenoiser | CalledDenoiser | TrainedDenoiser
PARAMS: dict[Kind, tuple[type[Params], ...]] = {
    "dataset": (DatasetParams,),
    "autoencoder": (
        IdentityStage,
        ShippedStage,
        LoadedStage,
        TakenStage,
        CalledStage,
        TrainedStage,
    ),
    "latents": (NeighboursParams, LatentsParams),
    "contexts": (ContextsParams,),
    "denoiser": (LoadedDenoiser, CalledDenoiser, TrainedDenoiser),
    "samples": (SamplesParams,),
    "reconstructions": (InterpolatedParams, ReconstructionsParams),
    "features": (FileFeatures, ExtractedFeatures, OwnFeatures),
    "scores": (OwnScoresParams, ScoresParams),
    "coding": (ValidationParams, CodingParams),
    "speed": (CoderSpeedParams, SpeedParams),
}
"""Stage kind -> its classes; what is read is of the first that fits."""


def read_params(kind: Kind, found: object) -> Params:
    """Return the parameters of a stage that are written as `found`.

    Raises:
        ValidationError: they are of no class of the kind.
    """
    *others, last = PARAMS[kind]
    for one in others:
        try:
            return one.model_validate(found)
        except ValidationError:
            continue
    return last.model_validate(found)


def with_params(found: object) -> object:
    """Return the fields of a stage or task, its parameters read as its kind has them."""
    if not isinstance(found, Mapping) or found.get("kind") not in PARAMS:
        return found
    if isinstance(found.get("params"), Params):
        return found
    return {**found, "params": read_params(found["kind"], found.get("params"))}
