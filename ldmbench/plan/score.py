"""A plan for images that came from anywhere: dataset -> features -> scores, no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ldmbench.canonical import digest
from ldmbench.catalog.metrics import METRICS, Family
from ldmbench.errors import InputError
from ldmbench.plan.images import shapes_of
from ldmbench.plan.ledger import KEY_DIGITS, Ledger, items, score_params
from ldmbench.plan.sample_scores import held_to
from ldmbench.plan.size import too_large
from ldmbench.schema.data import DATASET_SHARD, ShapesData, Split
from ldmbench.schema.local import NOWHERE, Local
from ldmbench.schema.params import (
    AnySource,
    DatasetParams,
    FeaturesSource,
    FileFeatures,
    FilesSource,
    Precision,
)
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.stage import Cell, Input, Plan, Role, Stage

ROLES = ("generated", "reference", "train")


@dataclass(frozen=True)
class ImageSource:
    """Images of a folder, zip or npz: what they mean, and where they lie.

    Attributes:
        title: for people.
        count: how many.
        source: what a dataset stage is keyed by.
        split: which part of the source.
        local: where it lies, and captions that are not its own; no part of its meaning.
    """

    title: str
    count: int
    source: AnySource
    split: Split = "train"
    local: Local = NOWHERE


@dataclass(frozen=True)
class FeatureSource:
    """Features that were extracted elsewhere.

    Attributes:
        title: for people.
        count: rows.
        width: features per row.
        digest: of the file.
        extractor: what made them, or "unnamed".
        weights: sha256 of its weights, or "unverified".
        logits: whether there are logits too.
        spatial: how many spatial features there are a row, of sFID; 0 for none.
        double: whether they are in double precision, and stay so.
        precision: in which they were extracted.
        resolution: side of the images; 0 if it is not known.
        crop: how the images were cropped, "given" if that is not known.
        resize: how they were resized, likewise.
        ref: how signatures name the images they are of; "" if that is not known.
        neighbours: how many of the first metrics of neighbours compare with, where that is a part.
        neighbours_ref: how signatures name these.
    """

    title: str
    count: int
    width: int
    digest: str
    extractor: str = "unnamed"
    weights: str = "unverified"
    logits: bool = False
    spatial: int = 0
    double: bool = False
    precision: Precision = "float32"
    resolution: int = 0
    crop: str = "given"
    resize: str = "given"
    ref: str = ""
    neighbours: int = 0
    neighbours_ref: str = ""

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays that its file holds."""
        extra = (("logits", self.logits), ("spatial", self.spatial))
        return ("features", *(name for name, there in extra if there))


@dataclass(frozen=True)
class StatisticsSource:
    """Means and covariances that were computed elsewhere, in place of a reference.

    Attributes:
        title: for people.
        digest: of the file.
        metrics: those that they serve in a plan.
    """

    title: str
    digest: str
    metrics: tuple[str, ...]

    @property
    def families(self) -> set[str]:
        """Return the families that compare with them."""
        return {METRICS[name].family.name for name in self.metrics}


Source = ImageSource | FeatureSource


def files_source(
    title: str,
    path: str,
    *,
    count: int,
    digest: str,
    resolution: int,
    crop: str,
    resize: str,
    digests: str | None = None,
    split: Split = "train",
    kind: str = "folder",
) -> ImageSource:
    """Return all images of a source, prepared so; `digests` is where those are kept."""
    source = FilesSource(
        kind=kind,
        resolution=resolution,
        crop=crop,
        resize=resize,
        upscale=False,
        reference=0,
        validation=0,
        digest=digest,
    )
    return ImageSource(title, count, source, split, Local(path=path, digests=digests or None))


def shapes_source(resolution: int, count: int, *, split: Split = "reference") -> ImageSource:
    """Return a split of the embedded data, with the key that a suite gives it."""
    data = shapes_of(ShapesData(resolution=resolution))
    return ImageSource(f"shapes:{resolution}:{count}", count, data, split=split)


@dataclass
class _Stages(Ledger):
    """A ledger that knows what a person may give."""

    spatial: bool = False

    def images(self, source: ImageSource) -> Stage:
        """Return the dataset stage of a source."""
        return self.add(
            "dataset",
            DatasetParams(source=source.source, split=source.split),
            {},
            shard=DATASET_SHARD,
            count=source.count,
            local=source.local,
        )

    def extracted(self, source: Source, extractor: str, protocol: Protocol) -> Stage:
        """Return the features of a source; those of a file are in the store already."""
        if isinstance(source, FeatureSource):
            return self._given(source)
        return self.features(self.images(source), extractor, protocol, spatial=self.spatial)

    def _given(self, source: FeatureSource) -> Stage:
        """Return features that `cli.score` puts into the store itself."""
        params = FileFeatures(
            extractor=source.extractor,
            weights=source.weights,
            file=source.digest,
            precision=source.precision,
            spatial=bool(source.spatial),
            double=source.double,
            ref=source.ref,
        )
        part = {str(source.neighbours): source.neighbours_ref} if source.neighbours_ref else {}
        side = source.resolution or source.width
        below = self._dataset(source.digest, side, source.count, source.crop, source.resize)
        return self._brought(params, below, Local(refs=part))

    def statistics(self, source: StatisticsSource) -> Stage:
        """Return means and covariances that `cli.score` puts into the store itself."""
        params = FileFeatures(
            extractor="unnamed",
            weights="unverified",
            file=source.digest,
            statistics=True,
            ref=f"{source.title}@{source.digest[:8]}",
        )
        return self._brought(params, self._dataset(source.digest, 0, 1, "given", "given"), Local())

    def _dataset(self, file: str, side: int, count: int, crop: str, resize: str) -> Stage:
        """Add the images that a file holds features or statistics of."""
        source = FeaturesSource(
            kind="features", resolution=side, digest=file, crop=crop, resize=resize
        )
        params = DatasetParams(source=source, split="file")
        return self.add("dataset", params, {}, shard=count, count=count)

    def _brought(self, params: FileFeatures, images: Stage, local: Local) -> Stage:
        """Add what a file holds; `local.refs` names its first images, by how many they are."""
        inputs = {"images": Input(kind="dataset", key=images.key)}
        count = images.count
        return self.add("features", params, inputs, shard=count, count=count, local=local)


def drawn(source: ImageSource, protocol: Protocol) -> ImageSource:
    """Return images in an order whose beginning is no one class, where a protocol takes a part."""
    part = protocol.neighbour_count and protocol.neighbour_count < source.count
    if not part or not isinstance(source.source, FilesSource):
        return source
    return replace(source, source=source.source.model_copy(update={"order": "digest"}))


def families_of(metrics: Sequence[str]) -> list[Family]:
    """Return the families that metrics are computed in, by name."""
    found = {METRICS[name].family.name: METRICS[name].family for name in metrics}
    return [family for _, family in sorted(found.items())]


def _spaces(
    stages: _Stages,
    family: Family,
    protocol: Protocol,
    sides: tuple[Source, Source, Source | None],
) -> dict[str, Input]:
    """Return the features of samples, reference and validation images in every space.

    Roles of the spaces after the first have their number behind a colon, as in suites.
    """
    inputs: dict[str, Input] = {}
    for number, extractor in enumerate(family.extractors_of(protocol)):
        for role, side in zip(("generated", "reference", "validation"), sides, strict=True):
            if side is not None:
                seen = stages.extracted(side, extractor, protocol)
                inputs[f"{role}:{number}" if number else role] = items(seen, side.count)
    return inputs


def build_score_plan(
    generated: Source,
    reference: Source | None,
    protocol: Protocol,
    *,
    metrics: Sequence[str],
    train: Source | None = None,
    pairs: ImageSource | None = None,
    statistics: StatisticsSource | None = None,
    validation: Source | None = None,
    spatial: bool = False,
) -> Plan:
    """Return a plan of one cell that scores `generated` against `reference`.

    Args:
        generated: the images or features to be scored.
        reference: what they are compared with; None when no metric needs it.
        protocol: how.
        metrics: rows of the catalog.
        train: what the model saw, where a metric needs it.
        pairs: the images that belong to `generated`, in their order, where a metric needs them.
        statistics: what some metrics compare with in place of `reference`.
        validation: images by whose distance to the reference a metric divides, where it needs
            them.
        spatial: keep spatial features though no metric of the plan needs them.
    """
    if isinstance(reference, ImageSource):
        reference = drawn(reference, protocol)
    families = families_of(metrics)
    stages, roles = _Stages(spatial=spatial or any(f.needs == "spatial" for f in families)), {}
    for family in families:
        extractor = family.extractor_of(protocol)
        if family.against == "validation":
            assert reference is not None
            spaces = _spaces(stages, family, protocol, (generated, reference, validation))
            scores = stages.add("scores", score_params(family, protocol), spaces)
            roles[str(Role(family.name, protocol.name))] = scores.key
            continue
        if family.against == "pair":
            assert isinstance(generated, ImageSource)
            assert pairs is not None
            if family.needs == "images":
                below = [(stages.images(side), side.count) for side in (generated, pairs)]
            else:
                sides = (generated, pairs)
                below = [(stages.extracted(s, extractor, protocol), s.count) for s in sides]
        else:
            made = stages.extracted(generated, extractor, protocol)
            below = [(made, generated.count)]
            if statistics and family.name in statistics.families:
                below.append((stages.statistics(statistics), 1))
            elif family.has_reference:
                assert reference is not None
                real = stages.extracted(reference, extractor, protocol)
                below.append((real, held_to(family, protocol, reference.count)))
            if family.against == "training":
                assert train is not None
                below.append((stages.extracted(train, extractor, protocol), train.count))
        inputs = {
            role: items(stage, count) for role, (stage, count) in zip(ROLES, below, strict=False)
        }
        scores = stages.add("scores", score_params(family, protocol), inputs)
        roles[str(Role(family.name, protocol.name))] = scores.key
    large = too_large(stages.finished())
    if large:
        raise InputError(f"{generated.title}: {large}")
    against = next((side.title for side in (reference, statistics, pairs) if side), "none")
    cell = Cell(
        id=f"{generated.title}/{against}",
        model=generated.title,
        dataset=against,
        sampler="given",
        steps=0,
        eta=0.0,
        guidance=1.0,
        count=generated.count,
        stages=roles,
    )
    return Plan(
        suite="score",
        suite_digest=digest({"score": roles})[:KEY_DIGITS],
        metrics=tuple(metrics),
        probes=(),
        protocols=(protocol,),
        cells=(cell,),
        stages=stages.finished(),
    )
