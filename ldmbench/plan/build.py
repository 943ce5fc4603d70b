"""Points -> stages: equal keys merge, so shared work is planned once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ldmbench.canonical import digest
from ldmbench.catalog import COUNTS, FINGERPRINTS, METRICS, PROTOCOLS
from ldmbench.pipeline import STAGES
from ldmbench.plan.expand import Point, points
from ldmbench.plan.traits import Traits, traits_of
from ldmbench.registry import resolve
from ldmbench.schema.data import DATASET_SHARD, Data, DatasetParams, FolderData, Split
from ldmbench.schema.models import AutoencoderParams, LdmModel
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.sample import SampleParams
from ldmbench.schema.stage import Cell, Input, Kind, Plan, Stage
from ldmbench.schema.weights import extractor_named, shipped_first_stage, weights_named
from ldmbench.suite.load import LoadedSuite

KEY_DIGITS = 32
SHARD = 64
"""Items in one shard of latents, reconstructions and features."""
FEATURE_BATCH = 64
CODING_IMAGES = 64
RECONSTRUCTION_BATCH = 32


def build_plan(loaded: LoadedSuite, *, cache: Path | None = None) -> Plan:
    """Return the cells of a checked suite and the stages under them.

    Args:
        loaded: a suite whose names and shapes are right.
        cache: a folder for remembered digests of image folders; content is hashed once.
    """
    builder = _Builder(loaded.written, loaded.path.parent, cache)
    cells = tuple(builder.cell(point) for point in points(loaded.written))
    return Plan(
        suite=loaded.name,
        suite_digest=loaded.digest,
        metrics=loaded.written.metrics,
        probes=loaded.written.probes,
        price_per_device_hour=loaded.written.speed.price_per_device_hour,
        v100_factor=loaded.written.speed.v100_factor,
        cells=cells,
        stages=tuple(builder.stages.values()),
    )


@dataclass(frozen=True)
class _Below:
    """What stands below samples, speed and coding: a model, and what it is told."""

    autoencoder: Stage
    denoiser: Stage
    conditions: Stage | None
    local: Mapping[str, Any]

    def inputs(self) -> dict[str, Input]:
        """Return the model as inputs of a stage."""
        return {"autoencoder": _whole(self.autoencoder), "denoiser": _whole(self.denoiser)}


@dataclass
class _Builder:
    suite: Any
    folder: Path
    cache: Path | None
    stages: dict[str, Stage] = field(default_factory=dict)
    sources: dict[str, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    traits: dict[tuple[str, str], Traits] = field(default_factory=dict)

    def cell(self, point: Point) -> Cell:
        """Plan every stage one cell needs."""
        traits = self._traits(point)
        sample = traits.settled(point.sample)
        autoencoder, denoiser = self._model(point)
        below = _Below(autoencoder, denoiser, self._conditions(point), traits.local)
        samples = self._samples(below, sample)
        roles = {"autoencoder": autoencoder, "denoiser": denoiser, "samples": samples}
        for protocol in self._protocols():
            roles |= self._scores(point, samples, protocol)
        if "reconstruction" in self.suite.probes:
            for protocol in self._protocols():
                roles |= self._first_stage(point, autoencoder, protocol)
        if "coding" in self.suite.probes and not traits.is_called:
            roles["coding"] = self._coding(point, below)
        if {"throughput", "latency", "flops", "memory", "energy"} & set(self.suite.probes):
            roles["speed"] = self._speed(below, sample)
        return Cell(
            id=point.id,
            model=point.model,
            dataset=point.dataset,
            axes=dict(point.axes),
            f=traits.f,
            regularization=traits.regularization,
            sampler=sample.sampler,
            steps=sample.steps,
            eta=sample.eta,
            guidance=sample.guidance,
            progress=sample.progress,
            train_seed=traits.train_seed,
            sample_seed=sample.seed,
            count=sample.count,
            timesteps=sample.timesteps,
            quantize=sample.quantize,
            weights=traits.weights,
            null_class=traits.null_class,
            stages={role: stage.key for role, stage in roles.items()},
        )

    def _traits(self, point: Point) -> Traits:
        """Return what is known of a point's model; each is looked at once."""
        key = (point.model, point.dataset)
        if key not in self.traits:
            side = point.data.resolution
            self.traits[key] = traits_of(point.spec, self.folder, cache=self.cache, resolution=side)
        return self.traits[key]

    def _add(
        self,
        kind: Kind,
        params: Mapping[str, Any],
        inputs: Mapping[str, Input],
        *,
        shard: int | None = None,
        count: int | None = None,
        local: Mapping[str, Any] | None = None,
    ) -> Stage:
        row = STAGES[kind]
        recipe: dict[str, Any] = {
            "kind": kind,
            "version": row.version,
            "params": dict(params),
            "inputs": {role: i.model_dump(include={"key", "count"}) for role, i in inputs.items()},
        }
        if row.sharded:  # what a shard holds does not depend on how many there are
            recipe["shard"] = shard
        key = digest(recipe)[:KEY_DIGITS]
        before = self.stages.get(key)
        if before and before.count and count:
            count = max(before.count, count)
        stage = Stage(
            kind=kind,
            key=key,
            params=dict(params),
            inputs=dict(inputs),
            version=row.version,
            shard=shard,
            count=count,
            local=dict(local or {}),
        )
        self.stages[key] = stage
        return stage

    def _dataset(self, name: str, data: Data, split: Split, count: int) -> Stage:
        source, local = self._source(name, data)
        params = DatasetParams(source=source, split=split).model_dump(mode="json")
        return self._add("dataset", params, {}, shard=DATASET_SHARD, count=count, local=local)

    def _source(self, name: str, data: Data) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what a dataset means (keyed) and where it lies (not keyed)."""
        if name not in self.sources:
            self.sources[name] = self._find_source(data)
        return self.sources[name]

    def _find_source(self, data: Data) -> tuple[dict[str, Any], dict[str, Any]]:
        if not isinstance(data, FolderData):
            return data.model_dump(mode="json", exclude={"train", "reference"}), {}
        path = (self.folder / data.path).resolve()
        fingerprint: Any = resolve(FINGERPRINTS[data.kind])
        keyed = data.model_dump(mode="json", exclude={"path", "train"})
        keyed["digest"] = fingerprint(path, self.cache)
        return keyed, {"path": str(path)}

    def _train(self, point: Point) -> Stage:
        most = self._held(point, "train")
        return self._dataset(
            point.dataset, point.data, "train", min(point.data.train or most, most)
        )

    def _reference(self, point: Point, count: int | None = None) -> Stage:
        most = self._reference_count(point)
        return self._dataset(point.dataset, point.data, "reference", min(count or most, most))

    def _reference_count(self, point: Point) -> int:
        return min(point.data.reference, self._held(point, "reference"))

    def _held(self, point: Point, split: Split) -> int:
        """Return the images a split holds; a procedural dataset holds what is asked."""
        data = point.data
        if not isinstance(data, FolderData):
            return data.train if split == "train" else data.reference
        count_of: Any = resolve(COUNTS[data.kind])
        path = (self.folder / data.path).resolve()
        return int(count_of(path, split, reference=data.reference, validation=data.validation))

    def _model(self, point: Point) -> tuple[Stage, Stage]:
        spec = point.spec
        if not isinstance(spec, LdmModel):
            return self._foreign(point)
        train = self._train(point)
        images = _items(train)
        autoencoder = self._autoencoder(spec.autoencoder, point, images)
        inputs = {"autoencoder": _whole(autoencoder), "images": images}
        if spec.autoencoder.f != 1:
            latents = self._add(
                "latents",
                {"micro_batch": RECONSTRUCTION_BATCH},
                {"autoencoder": _whole(autoencoder), "images": _aligned(train)},
                shard=SHARD,
                count=train.count,
            )
            inputs["latents"] = _items(latents)
        params = {
            **spec.denoiser.model_dump(mode="json"),
            "budget": spec.budget.model_dump(mode="json"),
        }
        return autoencoder, self._add("denoiser", params, inputs)

    def _foreign(self, point: Point) -> tuple[Stage, Stage]:
        """Plan a model that is not trained here: two artefacts that only say what it is."""
        traits, side = self._traits(point), {"resolution": point.data.resolution}
        if traits.is_called:
            autoencoder = self._add("autoencoder", {"f": 1, **side}, {})
        else:
            loaded = {**traits.autoencoder, **side}
            autoencoder = self._add("autoencoder", loaded, {}, local=traits.local)
        inputs = {"autoencoder": _whole(autoencoder)}
        return autoencoder, self._add("denoiser", traits.denoiser, inputs, local=traits.local)

    def _autoencoder(self, params: AutoencoderParams, point: Point, images: Input) -> Stage:
        """Plan a first stage: the identity, one that ships, or one to be trained."""
        side = {"resolution": point.data.resolution}
        if params.f == 1:
            return self._add("autoencoder", {"f": 1, **side}, {})
        if params.weights:
            row = shipped_first_stage(params.f, params.regularization)
            named = {"weights": row.name, "digest": row.digest}
            kept = {"f": row.f, "regularization": row.regularization, **named, **side}
            return self._add("autoencoder", kept, {})
        trained = params.model_dump(mode="json", exclude={"weights"})
        return self._add("autoencoder", {**trained, **side}, {"images": images})

    def _conditions(self, point: Point) -> Stage | None:
        """Captions and classes that prompt samples: those of images no model has trained on."""
        if self._traits(point).conditioning == "none":
            return None
        return self._dataset(point.dataset, point.data, "prompts", point.sample.count)

    def _samples(self, below: _Below, sample: SampleParams) -> Stage:
        inputs = below.inputs()
        if below.conditions:
            inputs["conditions"] = _aligned(below.conditions)
        return self._add(
            "samples",
            sample.model_dump(mode="json", exclude={"count"}),
            inputs,
            shard=sample_shard(sample.micro_batch),
            count=sample.count,
            local=below.local,
        )

    def _features(self, images: Stage, extractor: str, protocol: Protocol) -> Stage:
        params = {
            "extractor": extractor,
            "weights": weights_named(extractor_named(extractor).weights).sha256,
            "precision": protocol.precision,
            "micro_batch": FEATURE_BATCH,
        }
        return self._add(
            "features", params, {"images": _aligned(images)}, shard=SHARD, count=images.count
        )

    def _scores(self, point: Point, samples: Stage, protocol: Protocol) -> dict[str, Stage]:
        count = point.sample.count
        reference = self._reference(point)
        families = {METRICS[name].family for name in self.suite.metrics}
        roles: dict[str, Stage] = {}
        for family in sorted(families):
            if family == "clip" and self._traits(point).conditioning != "caption":
                continue
            extractor = protocol.clip if family == "clip" else protocol.extractor
            inputs = {"generated": _items(self._features(samples, extractor, protocol), count)}
            if family in ("moments", "neighbours"):
                inputs["reference"] = _items(self._features(reference, extractor, protocol))
            roles[f"{protocol.name}:{family}"] = self._add(
                "scores", score_params(family, protocol), inputs
            )
        return roles

    def _first_stage(
        self, point: Point, autoencoder: Stage, protocol: Protocol
    ) -> dict[str, Stage]:
        traits = self._traits(point)
        if traits.regularization is None:
            return {}
        rule = {} if traits.quantize == "round" else {"quantize": traits.quantize}
        reference = self._reference(point, self.suite.reconstruct)
        count = min(self.suite.reconstruct, reference.count or 0)
        made = self._add(
            "reconstructions",
            {"micro_batch": RECONSTRUCTION_BATCH, **rule},
            {"autoencoder": _whole(autoencoder), "images": _aligned(reference)},
            shard=SHARD,
            count=count,
            local=traits.local,
        )
        features = self._features(made, protocol.extractor, protocol)
        real = self._features(self._reference(point), protocol.extractor, protocol)
        return {
            "reconstructions": made,
            f"{protocol.name}:rfid": self._add(
                "scores",
                score_params("moments", protocol),
                {"generated": _items(features, count), "reference": _items(real, count)},
            ),
            f"{protocol.name}:pairs": self._add(
                "scores",
                score_params("pairs", protocol),
                {"generated": _items(made, count), "reference": _items(reference, count)},
            ),
        }

    def _coding(self, point: Point, below: _Below) -> Stage:
        reference = self._reference(point, CODING_IMAGES)
        count = min(CODING_IMAGES, self._reference_count(point))
        inputs = {**below.inputs(), "images": _items(reference, count)}
        params = {"progress": point.sample.progress}
        return self._add("coding", params, inputs, local=below.local)

    def _speed(self, below: _Below, sample: SampleParams) -> Stage:
        inputs = below.inputs()
        if below.conditions:
            inputs["conditions"] = _items(below.conditions, self.suite.speed.batch)
        fields = {"sampler", "steps", "eta", "guidance", "timesteps", "precision"}
        params = {
            **sample.model_dump(mode="json", include=fields),
            "batch": self.suite.speed.batch,
            "repeats": self.suite.speed.repeats,
        }
        return self._add("speed", params, inputs, local=below.local)

    def _protocols(self) -> list[Protocol]:
        named = self.suite.protocol
        return [protocol_named(n) for n in (named if isinstance(named, tuple) else (named,))]


def protocol_named(name: str) -> Protocol:
    """Return a protocol of the catalog."""
    found = resolve(PROTOCOLS[name].target)
    assert isinstance(found, Protocol)
    return found


def score_params(family: str, protocol: Protocol) -> dict[str, Any]:
    """Return what of a protocol one metric family depends on."""
    fields = {
        "moments": {"confidence"},
        "neighbours": {"confidence", "k", "k_density", "rule", "kid_subsets", "kid_subset_size"},
        "logits": {"confidence", "splits", "shuffle_seed"},
        "pairs": {"confidence"},
        "clip": {"confidence"},
    }[family]
    return {"family": family, **protocol.model_dump(mode="json", include=fields)}


def sample_shard(micro_batch: int) -> int:
    """Return the samples in one shard: whole micro-batches, 64 or more."""
    return micro_batch * max(1, -(-64 // micro_batch))


def _whole(stage: Stage) -> Input:
    return Input(kind=stage.kind, key=stage.key)


def _aligned(stage: Stage) -> Input:
    return Input(kind=stage.kind, key=stage.key)


def _items(stage: Stage, count: int | None = None) -> Input:
    return Input(kind=stage.kind, key=stage.key, count=count or stage.count)
