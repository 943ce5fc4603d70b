"""The ledger of stages: each is added with its key, and equal keys merge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ldmbench.canonical import digest
from ldmbench.catalog.extractors import extractor_named
from ldmbench.catalog.metrics import Family, keyed_fields
from ldmbench.pipeline import STAGES
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.stage import Input, Kind, Stage
from ldmbench.schema.weights import weights_named

KEY_DIGITS = 32
SHARD = 64
"""Items in one shard of latents, reconstructions and features."""
FEATURE_BATCH = 64


def score_params(family: Family, protocol: Protocol, *, paired: bool = False) -> dict[str, Any]:
    """Return what of a protocol one metric family depends on.

    Args:
        family: of the metrics.
        protocol: of the scores.
        paired: features i of both sides are of one picture, and are resampled together.
    """
    fields = protocol.model_dump(mode="json", include=keyed_fields(family.name))
    params = {"family": family.name, **fields, **family.constants}
    if family.networks:
        files = family.networks.files[getattr(protocol, family.networks.field)]
        params["weights"] = [weights_named(name).sha256 for name in files]
    if paired:
        params["paired"] = True
    return params


@dataclass
class Ledger:
    """The stages of a plan, by key, in an order in which they can run."""

    stages: dict[str, Stage] = field(default_factory=dict)

    def add(
        self,
        kind: Kind,
        params: Mapping[str, Any],
        inputs: Mapping[str, Input],
        *,
        shard: int | None = None,
        count: int | None = None,
        local: Mapping[str, Any] | None = None,
    ) -> Stage:
        """Add a stage, or return to one of the same key; the larger count of two stays."""
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

    def features(
        self, images: Stage, extractor: str, protocol: Protocol, *, spatial: bool = False
    ) -> Stage:
        """Add the features of images.

        Args:
            images: a stage of images.
            extractor: its name.
            protocol: says the precision.
            spatial: whether spatial features are kept too, where there are any.
        """
        spec = extractor_named(extractor)
        params = {
            "extractor": extractor,
            "weights": weights_named(spec.weights).sha256,
            "precision": protocol.precision,
            "micro_batch": FEATURE_BATCH,
        }
        if spatial and spec.spatial:
            params["spatial"] = True
        inputs = {"images": aligned(images)}
        return self.add("features", params, inputs, shard=SHARD, count=images.count)

    def own_features(self, images: Stage, extractor: str, code: Mapping[str, Any]) -> Stage:
        """Add the features that the user's own code makes of images."""
        params = {"extractor": extractor, "weights": code["digest"], "precision": "float32"}
        inputs, local = {"images": aligned(images)}, {"call": dict(code)}
        return self.add("features", params, inputs, shard=SHARD, count=images.count, local=local)

    def finished(self) -> tuple[Stage, ...]:
        """Return all stages; features are told how many images their extractor will see in all."""
        expected: Counter[tuple[str, str]] = Counter()
        for stage in self.stages.values():
            if stage.kind == "features" and "file" not in stage.params:
                expected[_network(stage)] += stage.count or 0
        return tuple(
            stage.model_copy(
                update={"local": {**stage.local, "expected": expected[_network(stage)]}}
            )
            if stage.kind == "features" and "file" not in stage.params
            else stage
            for stage in self.stages.values()
        )


def _network(stage: Stage) -> tuple[str, str]:
    return stage.params["extractor"], stage.params["precision"]


def whole(stage: Stage) -> Input:
    """Return a stage as an input, all of it."""
    return Input(kind=stage.kind, key=stage.key)


def aligned(stage: Stage) -> Input:
    """Return a sharded stage as the input of another whose shards cover the same items."""
    return Input(kind=stage.kind, key=stage.key)


def items(stage: Stage, count: int | None = None) -> Input:
    """Return the first items of a sharded stage as an input; all that are planned when unset."""
    return Input(kind=stage.kind, key=stage.key, count=count or stage.count)
