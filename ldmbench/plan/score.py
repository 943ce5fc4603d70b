"""A plan for images that came from anywhere: dataset -> features -> scores, no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ldmbench.canonical import digest
from ldmbench.catalog import METRICS
from ldmbench.plan.build import held_to
from ldmbench.plan.ledger import HELD_TO_REFERENCE, KEY_DIGITS, Ledger, items, score_params
from ldmbench.schema.data import DATASET_SHARD, ShapesData
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.stage import Cell, Input, Plan, Stage

PAIRED = ("psnr", "ssim")
PAIR_FAMILIES = ("pairs", "lpips")
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
        spatial: whether there are spatial features, of sFID.
        double: whether they are in double precision, and stay so.
    """

    title: str
    count: int
    width: int
    digest: str
    extractor: str = "unnamed"
    weights: str = "unverified"
    logits: bool = False
    spatial: bool = False
    double: bool = False

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays that its file holds."""
        extra = (("logits", self.logits), ("spatial", self.spatial))
        return ("features", *(name for name, there in extra if there))


Source = ImageSource | FeatureSource


def files_source(
    title: str, path: str, *, count: int, digest: str, resolution: int, crop: str, resize: str
) -> ImageSource:
    """Return all images of a folder, zip or npz, prepared so."""
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
    return ImageSource(title, count, keyed, local={"path": path})


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
        below = {"kind": "features", "resolution": source.width, "digest": source.digest}
        images = self.add(
            "dataset",
            {"source": below, "split": "file"},
            {},
            shard=source.count,
            count=source.count,
        )
        params: dict[str, Any] = {
            "extractor": source.extractor,
            "weights": source.weights,
            "file": source.digest,
        }
        if source.spatial:
            params["spatial"] = True
        if source.double:
            params["double"] = True
        inputs = {"images": Input(kind="dataset", key=images.key)}
        return self.add("features", params, inputs, shard=source.count, count=source.count)


def drawn(source: ImageSource, protocol: Protocol) -> ImageSource:
    """Return images in an order whose beginning is no one class, where a protocol takes a part."""
    part = protocol.neighbour_count and protocol.neighbour_count < source.count
    if not part or source.source["kind"] != "folder":
        return source
    return replace(source, source={**source.source, "order": "digest"})


def families_of(metrics: Sequence[str]) -> list[str]:
    """Return the families that metrics are computed in."""
    return sorted({METRICS[name].family for name in metrics})


def build_score_plan(
    generated: Source,
    reference: Source | None,
    protocol: Protocol,
    *,
    metrics: Sequence[str],
    train: Source | None = None,
    pairs: ImageSource | None = None,
    spatial: bool = False,
) -> Plan:
    """Return a plan of one cell that scores `generated` against `reference`.

    Args:
        generated: the images or features to be scored.
        reference: what they are held to; None when no metric needs it.
        protocol: how.
        metrics: rows of the catalog.
        train: for memorization, what the model saw.
        pairs: for psnr, ssim and lpips, the images that belong to `generated`, in their order.
        spatial: keep spatial features though no metric of the plan needs them.
    """
    if isinstance(reference, ImageSource):
        reference = drawn(reference, protocol)
    stages, roles = _Stages(spatial=spatial or "sfid" in metrics), {}
    for family in families_of(metrics):
        extractor = protocol.clip if family == "clip" else protocol.extractor
        if family in PAIR_FAMILIES:
            assert isinstance(generated, ImageSource)
            assert pairs is not None
            below = [(stages.images(side), side.count) for side in (generated, pairs)]
        else:
            made = stages.extracted(generated, extractor, protocol)
            below = [(made, generated.count)]
            if family in HELD_TO_REFERENCE:
                assert reference is not None
                real = stages.extracted(reference, extractor, protocol)
                below.append((real, held_to(family, protocol, reference.count)))
            if family == "memorization":
                assert train is not None
                below.append((stages.extracted(train, extractor, protocol), train.count))
        inputs = {
            role: items(stage, count) for role, (stage, count) in zip(ROLES, below, strict=False)
        }
        scores = stages.add("scores", score_params(family, protocol), inputs)
        roles[f"{protocol.name}:{family}"] = scores.key
    against = reference.title if reference else pairs.title if pairs else "none"
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
