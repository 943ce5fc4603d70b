"""First stage of a point -> reconstructions of unseen images, and their scores."""

from __future__ import annotations

from typing import Literal

from ldmbench.catalog.metrics import METRICS, RECONSTRUCTED
from ldmbench.plan.expand import Point
from ldmbench.plan.ledger import RECONSTRUCTION_BATCH, SHARD, aligned, items, score_params, whole
from ldmbench.plan.sampled import COUNTED, TIMED
from ldmbench.plan.shared import Shared
from ldmbench.plan.traits import Traits
from ldmbench.schema.params import (
    CoderSpeedParams,
    InterpolatedParams,
    NeighboursParams,
    Quantize,
    ReconstructionsParams,
)
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.stage import Input, Role, Stage
from ldmbench.schema.suite import Suite

TRAIN_LATENTS, NEIGHBOURS = 10_000, 10
"""Of interpolated FID: training images at the most, and neighbours to draw from."""
INTRINSIC_NEIGHBOURS = 20
"""Of intrinsic dimension; Levina and Bickel (2004) take 10 to 20."""


def asks_reconstructions(suite: Suite) -> bool:
    """Tell whether first stages under denoisers are measured too: by a probe, or by a metric."""
    rows = [METRICS[name] for name in suite.metrics if name in METRICS]
    return "reconstruction" in suite.probes or any(
        row.of or not row.in_suite or row.family.against == "latents" for row in rows
    )


def first_stage_scores(shared: Shared, point: Point, autoencoder: Stage) -> dict[Role, Stage]:
    """Plan reconstructions under each protocol, and what they are scored by."""
    roles: dict[Role, Stage] = {}
    for protocol in shared.protocols:
        roles |= _under(shared, point, autoencoder, protocol)
    return roles


def coder_speed(shared: Shared, point: Point, autoencoder: Stage) -> dict[Role, Stage]:
    """Plan the speed of a first stage alone, where probes ask for it."""
    settings, probes = shared.suite.speed, set(shared.suite.probes)
    if not {*TIMED, *COUNTED} & probes:
        return {}
    params = CoderSpeedParams(
        coder="both",
        resolution=point.data.resolution,
        batch=settings.batch,
        repeats=settings.repeats,
        only=None if TIMED & probes else tuple(sorted(COUNTED & probes)),
    )
    inputs = {"autoencoder": whole(autoencoder)}
    made = shared.ledger.add("speed", params, inputs, local=shared.about(point).local)
    return {Role("speed"): made}


def _interpolated(
    shared: Shared,
    point: Point,
    autoencoder: Stage,
    protocol: Protocol,
    reference: Stage,
    count: int,
) -> Stage:
    """Plan images of latents moved towards training latents (arXiv:2603.05630)."""
    traits, train = shared.about(point), shared.images.train(point)
    seen = min(TRAIN_LATENTS, train.count or 0)
    params = InterpolatedParams(
        micro_batch=RECONSTRUCTION_BATCH,
        quantize=_rule(traits, protocol),
        posterior=_drawn(traits),
        train=seen,
        neighbours=min(NEIGHBOURS, seen),
        alpha=0.5,
        seed=0,
    )
    inputs = _beside_train(autoencoder, reference, items(train, seen))
    return shared.ledger.add(
        "reconstructions", params, inputs, shard=SHARD, count=count, local=traits.local
    )


def _neighbours(
    shared: Shared, point: Point, autoencoder: Stage, reference: Stage, count: int
) -> Stage:
    """Plan the distances of latents to near training latents."""
    traits, train = shared.about(point), shared.images.train(point)
    seen = min(TRAIN_LATENTS, train.count or 0)
    params = NeighboursParams(
        micro_batch=RECONSTRUCTION_BATCH,
        posterior=_drawn(traits),
        train=seen,
        neighbours=min(INTRINSIC_NEIGHBOURS, seen),
    )
    inputs = _beside_train(autoencoder, reference, items(train, seen))
    return shared.ledger.add(
        "latents", params, inputs, shard=SHARD, count=count, local=traits.local
    )


def _beside_train(autoencoder: Stage, reference: Stage, train: Input) -> dict[str, Input]:
    """Return the inputs of what compares latents of images with those of training images."""
    return {"autoencoder": whole(autoencoder), "images": aligned(reference), "train": train}


def _drawn(traits: Traits) -> Literal["mode", "sample"]:
    """Return what of a KL is compared with training latents: draws, as denoisers see them."""
    return "sample" if traits.regularization == "kl" and traits.latents != "mode" else "mode"


def reconstruction_count(suite: Suite, protocol: Protocol) -> int:
    """Return how many images are reconstructed: as the suite says, else a protocol of these."""
    stated = "reconstruction_count" in suite.model_fields_set or protocol.posterior is None
    return suite.reconstruction_count if stated else protocol.count or suite.reconstruction_count


def _posterior(traits: Traits, protocol: Protocol) -> Literal["mode", "sample"]:
    """Return what of a KL is decoded: as the suite says, else the protocol, else the mode."""
    if traits.regularization != "kl":
        return "mode"
    return "sample" if (traits.latents or protocol.posterior) == "sample" else "mode"


def _rule(traits: Traits, protocol: Protocol) -> Quantize:
    """Return the rule to uint8: of a protocol of reconstructions, else of the model."""
    own = traits.quantize or "round"
    return own if protocol.posterior is None else protocol.quantize or own


def _under(
    shared: Shared, point: Point, autoencoder: Stage, protocol: Protocol
) -> dict[Role, Stage]:
    traits = shared.about(point)
    if traits.regularization is None:
        return {}
    most = reconstruction_count(shared.suite, protocol)
    reference = shared.images.held_out(point, protocol, most)
    assert reference is not None  # as `check` saw to it
    count = min(most, reference.count or 0)
    made = shared.ledger.add(
        "reconstructions",
        ReconstructionsParams(
            micro_batch=RECONSTRUCTION_BATCH,
            quantize=_rule(traits, protocol),
            posterior=_posterior(traits, protocol),
        ),
        {"autoencoder": whole(autoencoder), "images": aligned(reference)},
        shard=SHARD,
        count=count,
        local=traits.local,
    )
    pair = {"generated": items(made, count), "reference": items(reference, count)}
    features = {
        "generated": items(shared.features(made, protocol.extractor, protocol), count),
        "reference": items(shared.features(reference, protocol.extractor, protocol), count),
    }
    families = {
        name: (row.family, features) for name, row in RECONSTRUCTED.items() if not row.interpolated
    }
    for name in shared.suite.metrics:
        if name in METRICS and METRICS[name].interpolated:
            moved = _interpolated(shared, point, autoencoder, protocol, reference, count)
            near = items(shared.features(moved, protocol.extractor, protocol), count)
            families[name] = METRICS[name].family, {**features, "generated": near}
        if name in METRICS and METRICS[name].family.against == "latents":
            family = METRICS[name].family
            near = items(_neighbours(shared, point, autoencoder, reference, count), count)
            # The images have no part in it; by them a signature says whose latents these are.
            families[family.name] = family, {**pair, "generated": near}
    families |= {
        family.name: (family, features if family.needs == "features" else pair)
        for family in shared.pair_families()
    }
    roles = {
        # Reconstruction i is of reference i: shards of both hold the same items.
        Role(role, protocol.name): shared.ledger.add(
            "scores", score_params(family, protocol, paired=role in RECONSTRUCTED), inputs
        )
        for role, (family, inputs) in families.items()
    }
    return {Role("reconstructions"): made, **roles}
