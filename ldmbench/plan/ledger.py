"""The ledger of stages: each is added with its key, and equal keys merge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ldmbench.canonical import digest
from ldmbench.catalog.extractors import extractor_named
from ldmbench.catalog.metrics import Family, keyed_fields, networks_of
from ldmbench.pipeline import STAGES
from ldmbench.schema.base import Kind
from ldmbench.schema.local import Code, Local
from ldmbench.schema.params import (
    ExtractedFeatures,
    FeaturesParams,
    FileFeatures,
    OwnFeatures,
    Params,
    ScoresParams,
)
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.stage import Input, Stage
from ldmbench.sources.evaluators import extractor_digest, weights_digest

KEY_DIGITS = 32
SHARD = 64
"""Items in one shard of latents, reconstructions and features."""
FEATURE_BATCH = 64
RECONSTRUCTION_BATCH = 32


def score_params(family: Family, protocol: Protocol, *, paired: bool = False) -> ScoresParams:
    """Return what of a protocol one metric family depends on.

    Args:
        family: of the metrics.
        protocol: of the scores.
        paired: features i of both sides are of one picture, and are resampled together.
    """
    keyed = keyed_fields(family.name) - {"confidence"}
    options = {**protocol.model_dump(mode="json", include=keyed), **family.constants}
    if family.spaces:
        options[family.spaces] = list(family.extractors_of(protocol))
    return ScoresParams(
        family=family.name,
        confidence=protocol.confidence,
        options=options,
        weights=tuple(weights_digest(name) for name in networks_of(family, options)),
        paired=paired,
    )


@dataclass
class Ledger:
    """The stages of a plan, by key, in an order in which they can run."""

    stages: dict[str, Stage] = field(default_factory=dict)

    def add(
        self,
        kind: Kind,
        params: Params,
        inputs: Mapping[str, Input],
        *,
        shard: int | None = None,
        count: int | None = None,
        local: Local | None = None,
    ) -> Stage:
        """Add a stage, or return to one of the same key; the larger count of two stays."""
        row = STAGES[kind]
        recipe: dict[str, object] = {
            "kind": kind,
            "version": row.version,
            "params": params.keyed(),
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
            params=params,
            inputs=dict(inputs),
            version=row.version,
            shard=shard,
            count=count,
            local=local or Local(),
        )
        self.stages[key] = stage
        return stage

    def features(
        self,
        images: Stage,
        extractor: str,
        protocol: Protocol,
        *,
        spatial: bool = False,
        patches: str = "1",
    ) -> Stage:
        """Add the features of images.

        Args:
            images: a stage of images.
            extractor: its name.
            protocol: says the precision.
            spatial: whether spatial features are kept too, where there are any.
            patches: of an image, one of which is seen.
        """
        spec = extractor_named(extractor)
        params = ExtractedFeatures(
            extractor=extractor,
            weights=extractor_digest(spec),
            precision=protocol.precision,
            micro_batch=FEATURE_BATCH,
            spatial=spatial and bool(spec.spatial),
            patches=patches,
        )
        inputs = {"images": aligned(images)}
        return self.add("features", params, inputs, shard=SHARD, count=images.count)

    def own_features(
        self, images: Stage, extractor: str, code: Code, *, patches: str = "1"
    ) -> Stage:
        """Add the features that the user's own code makes of images."""
        params = OwnFeatures(
            extractor=extractor, weights=code.digest, precision="float32", patches=patches
        )
        inputs, local = {"images": aligned(images)}, Local(call=code)
        return self.add("features", params, inputs, shard=SHARD, count=images.count, local=local)

    def finished(self) -> tuple[Stage, ...]:
        """Return all stages; features carry how many images their extractor will see in all."""
        expected: Counter[tuple[str, str]] = Counter()
        for stage in self.stages.values():
            expected[_network(stage)] += stage.count or 0
        return tuple(
            stage.model_copy(
                update={"local": stage.local.model_copy(update={"expected": expected[network]})}
            )
            if (network := _network(stage)) != NO_NETWORK
            else stage
            for stage in self.stages.values()
        )


NO_NETWORK = "", ""


def _network(stage: Stage) -> tuple[str, str]:
    """Return the extractor that runs in a stage, and its precision."""
    params = stage.params
    if isinstance(params, FeaturesParams) and not isinstance(params, FileFeatures):
        return params.extractor, params.precision
    return NO_NETWORK


def whole(stage: Stage) -> Input:
    """Return a stage as an input, all of it."""
    return Input(kind=stage.kind, key=stage.key)


def aligned(stage: Stage) -> Input:
    """Return a sharded stage as the input of another whose shards cover the same items."""
    return Input(kind=stage.kind, key=stage.key)


def items(stage: Stage, count: int | None = None) -> Input:
    """Return the first items of a sharded stage as an input; all that are planned when unset."""
    return Input(kind=stage.kind, key=stage.key, count=count or stage.count)
