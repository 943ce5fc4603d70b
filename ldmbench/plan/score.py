"""A plan for images that came from anywhere: dataset -> features -> scores, no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ldmbench.canonical import digest
from ldmbench.catalog import METRICS
from ldmbench.pipeline import STAGES
from ldmbench.plan.build import FEATURE_BATCH, KEY_DIGITS, SHARD, score_params
from ldmbench.schema.data import DATASET_SHARD, ShapesData
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.stage import Cell, Input, Kind, Plan, Stage
from ldmbench.schema.weights import extractor_named, weights_named

PAIRED = ("psnr", "ssim")


@dataclass(frozen=True)
class ImageSource:
    """Images of a folder, zip or npz: what they mean, and where they lie.

    Attributes:
        title: for people.
        count: how many.
        source: what a dataset stage is keyed by.
        split: which part of the source.
        path: where it lies; None for procedural images.
    """

    title: str
    count: int
    source: Mapping[str, Any]
    split: str = "train"
    path: str | None = None


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
    """

    title: str
    count: int
    width: int
    digest: str
    extractor: str = "unnamed"
    weights: str = "unverified"
    logits: bool = False


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
    return ImageSource(title, count, keyed, path=path)


def shapes_source(resolution: int, count: int) -> ImageSource:
    """Return the reference split of the embedded data, with the key that a suite gives it."""
    data = ShapesData(resolution=resolution).model_dump(mode="json", exclude={"train", "reference"})
    return ImageSource(f"shapes:{resolution}:{count}", count, data, split="reference")


@dataclass
class _Stages:
    made: dict[str, Stage] = field(default_factory=dict)

    def add(
        self, kind: Kind, params: Mapping[str, Any], inputs: Mapping[str, Input], **more: Any
    ) -> Stage:
        """Add a stage, keyed as a suite's are; the larger count of two stays."""
        shard, count = more.get("shard"), more.get("count")
        recipe: dict[str, Any] = {
            "kind": kind,
            "version": STAGES[kind].version,
            "params": dict(params),
            "inputs": {role: i.model_dump(include={"key", "count"}) for role, i in inputs.items()},
        }
        if STAGES[kind].sharded:
            recipe["shard"] = shard
        key = digest(recipe)[:KEY_DIGITS]
        before = self.made.get(key)
        stage = Stage(
            kind=kind,
            key=key,
            params=dict(params),
            inputs=dict(inputs),
            version=STAGES[kind].version,
            shard=shard,
            count=max(count, before.count or 0) if before and count else count,
            local=more.get("local") or {},
        )
        self.made[key] = stage
        return stage

    def images(self, source: ImageSource) -> Stage:
        """Return the dataset stage of a source."""
        return self.add(
            "dataset",
            {"source": dict(source.source), "split": source.split},
            {},
            shard=DATASET_SHARD,
            count=source.count,
            local={"path": source.path} if source.path else {},
        )

    def features(self, source: Source, extractor: str, precision: str) -> Stage:
        """Return the features of a source; those of a file are in the store already."""
        if isinstance(source, FeatureSource):
            return self._given(source)
        images = self.images(source)
        params = {
            "extractor": extractor,
            "weights": weights_named(extractor_named(extractor).weights).sha256,
            "precision": precision,
            "micro_batch": FEATURE_BATCH,
        }
        inputs = {"images": Input(kind="dataset", key=images.key)}
        return self.add("features", params, inputs, shard=SHARD, count=source.count)

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
        params = {"extractor": source.extractor, "weights": source.weights, "file": source.digest}
        inputs = {"images": Input(kind="dataset", key=images.key)}
        return self.add("features", params, inputs, shard=source.count, count=source.count)


def families_of(metrics: Sequence[str]) -> list[str]:
    """Return the families that metrics are computed in."""
    return sorted({METRICS[name].family for name in metrics})


def build_score_plan(
    generated: Source,
    reference: Source | None,
    protocol: Protocol,
    *,
    metrics: Sequence[str],
    pairs: ImageSource | None = None,
) -> Plan:
    """Return a plan of one cell that scores `generated` against `reference`.

    Args:
        generated: the images or features to be scored.
        reference: what they are held to; None when no metric needs it.
        protocol: how.
        metrics: rows of the catalog.
        pairs: for psnr and ssim, the images that belong to `generated`, in the same order.
    """
    stages, roles = _Stages(), {}
    for family in families_of(metrics):
        extractor = protocol.clip if family == "clip" else protocol.extractor
        if family == "pairs":
            assert isinstance(generated, ImageSource)
            assert pairs is not None
            below = [stages.images(generated), stages.images(pairs)]
        else:
            below = [stages.features(generated, extractor, protocol.precision)]
            if family in ("moments", "neighbours"):
                assert reference is not None
                below.append(stages.features(reference, extractor, protocol.precision))
        names = ("generated", "reference")
        counts = (generated.count, (pairs or reference or generated).count)
        if family in ("moments", "neighbours") and reference:
            counts = (generated.count, reference.count)
        inputs = {
            role: Input(kind=stage.kind, key=stage.key, count=count)
            for role, stage, count in zip(names, below, counts, strict=False)
        }
        made = stages.add("scores", score_params(family, protocol), inputs)
        roles[f"{protocol.name}:{family}"] = made.key
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
        cells=(cell,),
        stages=tuple(stages.made.values()),
    )
