"""First stage of a point -> reconstructions of unseen images, and their scores."""

from __future__ import annotations

from ldmbench.catalog.metrics import METRICS, RECONSTRUCTED
from ldmbench.plan.expand import Point
from ldmbench.plan.ledger import RECONSTRUCTION_BATCH, SHARD, aligned, items, score_params, whole
from ldmbench.plan.shared import Shared
from ldmbench.schema.params import ReconstructionsParams
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.stage import Role, Stage
from ldmbench.schema.suite import Suite


def asks_reconstructions(suite: Suite) -> bool:
    """Tell whether first stages under denoisers are measured too: by a probe, or by a metric."""
    rows = [METRICS[name] for name in suite.metrics if name in METRICS]
    return "reconstruction" in suite.probes or any(not row.in_suite for row in rows)


def first_stage_scores(shared: Shared, point: Point, autoencoder: Stage) -> dict[Role, Stage]:
    """Plan reconstructions under each protocol, and what they are scored by."""
    roles: dict[Role, Stage] = {}
    for protocol in shared.protocols:
        roles |= _under(shared, point, autoencoder, protocol)
    return roles


def _under(
    shared: Shared, point: Point, autoencoder: Stage, protocol: Protocol
) -> dict[Role, Stage]:
    traits = shared.about(point)
    if traits.regularization is None:
        return {}
    reference = shared.images.held_out(point, protocol, shared.suite.reconstruction_count)
    assert reference is not None  # as `check` saw to it
    count = min(shared.suite.reconstruction_count, reference.count or 0)
    made = shared.ledger.add(
        "reconstructions",
        ReconstructionsParams(
            micro_batch=RECONSTRUCTION_BATCH,
            quantize=traits.quantize,
            posterior="sample" if traits.latents == "sample" else "mode",
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
    families = {name: (row.family, features) for name, row in RECONSTRUCTED.items()}
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
