"""A plan for images that came from anywhere: dataset -> features -> scores, no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ldmbench.canonical import digest
from ldmbench.catalog.metrics import METRICS, Family
from ldmbench.errors import InputError
from ldmbench.plan.build import held_to
from ldmbench.plan.ledger import KEY_DIGITS, Ledger, items, score_params
from ldmbench.plan.size import too_large
from ldmbench.schema.data import DATASET_SHARD, ShapesData
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
    source: Mapping[str, Any]
    split: str = "train"
    local: Mapping[str, str] = field(default_factory=dict)


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
        neighbours: how many of the first metrics of neighbours are held to, where that is a part.
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
    precision: str = "float32"
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
        """Return the families that are held to them."""
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
    split: str = "train",
) -> ImageSource:
    """Return all images of a folder, zip or npz, prepared so; `digests` is where those are kept."""
    keyed = {
        "kind": "folder",
        "resolution": resolution,
        "crop": crop,
        "resize": resize,
        "upscale": False,
        "reference": 0,
        "validation": 0,
        "digest": digest,
    }
    return ImageSource(
        title,
        count,
        keyed,
        split=split,
        local={"path": path, **({"digests": digests} if digests else {})},
    )


def shapes_source(resolution: int, count: int, *, split: str = "reference") -> ImageSource:
    """Return a split of the embedded data, with the key that a suite gives it."""
    data = ShapesData(resolution=resolution).model_dump(mode="json", exclude={"train", "reference"})
    return ImageSource(f"shapes:{resolution}:{count}", count, data, split=split)


@dataclass
class _Stages(Ledger):
    """A ledger that knows what a person may give."""

    spatial: bool = False

    def images(self, source: ImageSource) -> Stage:
        """Return the dataset stage of a source."""
        return self.add(
            "dataset",
            {"source": dict(source.source), "split": source.split},
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
        params: dict[str, Any] = {"extractor": source.extractor, "weights": source.weights}
        if source.spatial:
            params["spatial"] = True
        if source.double:
            params["double"] = True
        if source.precision != "float32":
            params["precision"] = source.precision
        if source.ref:
            params["ref"] = source.ref
        below = {"crop": source.crop, "resize": source.resize}
        side = source.resolution or source.width
        part = {str(source.neighbours): source.neighbours_ref} if source.neighbours_ref else {}
        return self._brought(source.digest, params, below, side=side, count=source.count, refs=part)

    def statistics(self, source: StatisticsSource) -> Stage:
        """Return means and covariances that `cli.score` puts into the store itself."""
        params = {
            "extractor": "unnamed",
            "weights": "unverified",
            "statistics": True,
            "ref": f"{source.title}@{source.digest[:8]}",
        }
        below = {"crop": "given", "resize": "given"}
        return self._brought(source.digest, params, below, side=0, count=1)

    def _brought(
        self,
        file: str,
        params: Mapping[str, Any],
        below: Mapping[str, Any],
        *,
        side: int,
        count: int,
        refs: Mapping[str, str] | None = None,
    ) -> Stage:
        """Add what a file holds; `refs` names its first images, by how many they are."""
        source = {"kind": "features", "resolution": side, "digest": file, **below}
        images = self.add(
            "dataset", {"source": source, "split": "file"}, {}, shard=count, count=count
        )
        inputs = {"images": Input(kind="dataset", key=images.key)}
        keyed, local = {**params, "file": file}, {"refs": dict(refs)} if refs else {}
        return self.add("features", keyed, inputs, shard=count, count=count, local=local)


def drawn(source: ImageSource, protocol: Protocol) -> ImageSource:
    """Return images in an order whose beginning is no one class, where a protocol takes a part."""
    part = protocol.neighbour_count and protocol.neighbour_count < source.count
    if not part or source.source["kind"] != "folder":
        return source
    return replace(source, source={**source.source, "order": "digest"})


def families_of(metrics: Sequence[str]) -> list[Family]:
    """Return the families that metrics are computed in, by name."""
    found = {METRICS[name].family.name: METRICS[name].family for name in metrics}
    return [family for _, family in sorted(found.items())]


def build_score_plan(
    generated: Source,
    reference: Source | None,
    protocol: Protocol,
    *,
    metrics: Sequence[str],
    train: Source | None = None,
    pairs: ImageSource | None = None,
    statistics: StatisticsSource | None = None,
    spatial: bool = False,
) -> Plan:
    """Return a plan of one cell that scores `generated` against `reference`.

    Args:
        generated: the images or features to be scored.
        reference: what they are held to; None when no metric needs it.
        protocol: how.
        metrics: rows of the catalog.
        train: what the model saw, where a metric needs it.
        pairs: the images that belong to `generated`, in their order, where a metric needs them.
        statistics: what some metrics are held to in place of `reference`.
        spatial: keep spatial features though no metric of the plan needs them.
    """
    if isinstance(reference, ImageSource):
        reference = drawn(reference, protocol)
    families = families_of(metrics)
    stages, roles = _Stages(spatial=spatial or any(f.needs == "spatial" for f in families)), {}
    for family in families:
        extractor = protocol.clip if family.needs == "text" else protocol.extractor
        if family.against == "pair":
            assert isinstance(generated, ImageSource)
            assert pairs is not None
            below = [(stages.images(side), side.count) for side in (generated, pairs)]
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
