"""Protocols: named, versioned evaluation recipes, as data; every field says where it was read."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, Tag, model_serializer
from pydantic.json_schema import SkipJsonSchema

from ldmbench.canonical import digest
from ldmbench.schema.base import Noun, Positive
from ldmbench.schema.data import Resize
from ldmbench.schema.sample import Sampler, TimestepRule

Crop = Literal["center", "shortest", "lsun", "adm", "torchvision", "none"]
Quantize = Literal["round", "truncate"]
NOT_STATED = "not stated"
SPLITS = ("train", "validation", "reference")
"""Splits of a dataset that a protocol may name as its reference."""


class SamplingRule(Noun):
    """How one dataset's samples were drawn; None where the source does not say."""

    dataset: Annotated[str, Field(min_length=1)]
    sampler: Sampler = "ddim"
    steps: tuple[Annotated[int, Positive], ...] = Field(
        min_length=1, description="as printed; several where a figure sweeps them"
    )
    eta: Annotated[float, Field(ge=0, le=1)] | None = None
    guidance: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="classifier-free scale; null: none"
    )
    reference_split: str = "train"
    reference_count: Annotated[int, Positive] | None = None
    crop: Crop | None = None
    resize: Resize | None = None
    note: str = ""
    source: str = Field(default="", description="where the rule was read")


class Recipe(Noun):
    """How numbers are made: everything a signature says that is not a digest or a count."""

    extractor: str = Field(default="shapes-net", description="features for fid, kid, precision ...")
    clip: str = Field(default="shapes-clip", description="the open_clip model of clip_score")
    lpips: Literal["alex", "vgg"] = Field(default="alex", description="the network of lpips")
    k: Annotated[int, Positive] = Field(default=3, description="neighbour of precision, recall")
    k_density: Annotated[int, Positive] = Field(
        default=5, description="neighbour of density, coverage"
    )
    rule: Literal["le", "lt"] = Field(default="le", description="precision, recall: <= or < radius")
    kid_subsets: Annotated[int, Positive] = 100
    kid_subset_size: Annotated[int, Positive] = 1000
    splits: Annotated[int, Positive] = Field(
        default=10, description="splits of the inception score"
    )
    shuffle_seed: Annotated[int, Field(ge=0)] | None = Field(
        default=2020, description="order of the splits; null keeps it"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="arithmetic of the extractor"
    )
    fdr_extractors: tuple[str, ...] = Field(
        default=(), description="the spaces of fdr; empty: that of `extractor`"
    )
    fdr_normalisers: Literal["validation", "printed"] = Field(
        default="validation",
        description="of fdr: distances of the data's own validation images, or those printed for"
        " ImageNet at 256 px",
    )
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    count: Annotated[int, Positive] | None = Field(
        default=None, description="n; null leaves it to the suite"
    )
    reference_split: str = Field(default=NOT_STATED, description="which images are the reference")
    reference_count: Annotated[int, Positive] | None = Field(
        default=None, description="m; null: all of the split"
    )
    neighbour_count: Annotated[int, Positive] | None = Field(
        default=None, description="reference images of precision and recall, if not all"
    )
    resolution: Annotated[int, Positive] | None = Field(
        default=None, description="pixels; null: the dataset's"
    )
    crop: Crop | None = Field(default=None, description="of reference images; null: not stated")
    resize: Resize | None = Field(default=None, description="of reference images; null: not stated")
    quantize: Quantize | None = Field(default=None, description="samples to uint8; null: any")
    posterior: Literal["mode", "sample"] | None = Field(
        default=None,
        description="of reconstructions: what of a KL is decoded, and `quantize` is theirs; null:"
        " the mode, by the model's own rule",
    )
    classes: Literal["none", "balanced", "random", "not stated"] = Field(
        default="none", description="labels of class-conditional samples"
    )
    timesteps: TimestepRule | None = Field(default=None, description="null: the model's own")


class Protocol(Recipe):
    """A recipe with a name, the sampling rules of its datasets, and where it was read."""

    name: str
    version: int = 1
    about: str = ""
    file: str = Field(
        default="", description="NAME@digest of its content, where a file of the user's own says it"
    )
    sampling: tuple[SamplingRule, ...] = Field(default=(), description="per dataset")
    source: str = Field(default="", description="where the recipe was read")
    cited: dict[str, str] = Field(default={}, description="field -> where it was read")
    changed: tuple[str, ...] = Field(default=(), description="fields that a suite set otherwise")

    def rule_for(self, dataset: str) -> SamplingRule | None:
        """Return the rule of a dataset by its whole name, or by what stands before a bracket."""
        for whole in (True, False):
            names = [r.dataset if whole else r.dataset.split(" (")[0] for r in self.sampling]
            if names.count(dataset) == 1:
                return self.sampling[names.index(dataset)]
        return None

    def crop_for(self, dataset: str) -> Crop | None:
        """Return how real images of a dataset are to be cropped; None leaves it open.

        A named protocol says `none` of images that come ready; where a suite says it, it is meant.
        """
        rule = self.rule_for(dataset)
        crop = (rule.crop if rule else None) or self.crop
        return None if crop == "none" and "crop" not in self.changed else crop


class ProtocolFile(Recipe):
    """What a protocol's YAML file says; a field that is not there has its default."""

    protocol: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,80}$")]
    version: Annotated[int, Positive] = Field(description="raised when a field changes")
    about: str = Field(default="", description="what it is, in one line, for lists")
    source: str = Field(default="", description="where the recipe was read")
    extractor: str = Field(description="features for every metric but those of captions")
    sampling: tuple[SamplingRule, ...] = Field(default=(), description="per dataset")
    cited: dict[str, str] = Field(default={}, description="field -> where it was read")

    def to_protocol(self, *, ships: bool) -> Protocol:
        """Return the protocol; one of a person's own is named with a digest of what it says.

        So two files of one name are two protocols, and a file that changed is another one. What
        only describes (about, source, cited, note) is left out of the digest.
        """
        fields = self.model_dump(exclude={"protocol"})
        if ships:
            return Protocol(name=self.protocol, **fields)
        said = self.model_dump(
            mode="json",
            exclude={
                "about": True,
                "source": True,
                "cited": True,
                "sampling": {"__all__": {"note", "source"}},
            },
        )
        # later fields move no name of before
        later = ("posterior", "fdr_extractors", "fdr_normalisers")
        usual = {name: field.get_default() for name, field in type(self).model_fields.items()}
        same = [name for name in later if getattr(self, name) == usual[name]]
        said = {name: value for name, value in said.items() if name not in same}
        name = f"{self.protocol}@{digest(said)[:8]}"
        return Protocol(name=name, file=name, **fields)


def _no_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class Override(Recipe):
    """A named protocol with some of its fields changed; the others are the base's."""

    model_config = ConfigDict(json_schema_extra=_no_defaults)

    base: str = Field(description="name of a protocol, or a file")
    reference_split: Literal["train", "validation", "reference"] = "reference"

    @model_serializer
    def _given(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


def overridden(base: Protocol, change: Override) -> Protocol:
    """Return a protocol with the fields of `change` that are set, which its name then shows.

    A change of the reference also holds for every dataset's own rule; what neither the base nor
    any of these rules has otherwise is no change.
    """
    fields = {
        name: getattr(change, name)
        for name in Recipe.model_fields
        if name in change.model_fields_set and _differs(base, name, getattr(change, name))
    }
    if not fields:
        return base
    shown = ",".join(f"{name}={_text(value)}" for name, value in fields.items())
    shared = {name: v for name, v in fields.items() if name in SamplingRule.model_fields}
    return base.model_copy(
        update={
            **fields,
            "name": f"{base.name}[{shown}]",
            "changed": tuple(fields),
            "sampling": tuple(rule.model_copy(update=shared) for rule in base.sampling),
        }
    )


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "+".join(map(str, value))
    return "null" if value is None else str(value)


def _differs(base: Protocol, name: str, value: object) -> bool:
    """Tell whether a protocol, or the rule of one of its datasets, has another value of a field."""
    if (name, value) == ("crop", "none"):  # of a named protocol it leaves the crop open
        return True
    own = getattr(base, name)
    rules = base.sampling if name in SamplingRule.model_fields else ()
    stated = [getattr(rule, name) for rule in rules]
    return value != own or any(value != v for v in stated if v is not None)  # None: the protocol's


NAME, CHANGED, SEVERAL = "a name", "a changed protocol", "several protocols"
FILE = "a protocol of a file"


def _one(value: object) -> str:
    if isinstance(value, Protocol):
        return FILE
    return CHANGED if isinstance(value, dict | Override) else NAME


def _one_or_several(value: object) -> str:
    return SEVERAL if isinstance(value, list | tuple) else _one(value)


_Read: TypeAlias = Annotated[Protocol, Tag(FILE), SkipJsonSchema()]
"""What the file of a suite's own protocol says; the suite itself holds the file's path."""
OneProtocol: TypeAlias = Annotated[
    Annotated[str, Tag(NAME)] | Annotated[Override, Tag(CHANGED)] | _Read, Discriminator(_one)
]
Protocols: TypeAlias = Annotated[
    Annotated[str, Tag(NAME)]
    | Annotated[Override, Tag(CHANGED)]
    | _Read
    | Annotated[tuple[OneProtocol, ...], Tag(SEVERAL), Field(min_length=1, max_length=50)],
    Discriminator(_one_or_several),
]
"""What a suite may write: a name, a file, {base: NAME, field: value, ...}, or a list of these."""

PINNED = (
    "extractor",
    "k",
    "rule",
    "splits",
    "shuffle_seed",
    "count",
    "reference_split",
    "reference_count",
    "crop",
    "resize",
    "quantize",
    "classes",
    "timesteps",
)
"""Fields for which every published protocol says where they were read."""
