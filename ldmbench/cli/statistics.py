"""FID and sFID against the mean and covariance of a file, which the scores stage does not read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ldmbench.canonical import digest_file
from ldmbench.catalog import STATISTICS
from ldmbench.cli.given import Given
from ldmbench.cli.npz import read_array
from ldmbench.errors import UnlikeError
from ldmbench.pipeline import STAGES
from ldmbench.plan.score import FeatureSource
from ldmbench.registry import resolve
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.record import Score
from ldmbench.schema.stage import Plan
from ldmbench.schema.weights import extractor_named, weights_named
from ldmbench.store.disk import Store
from ldmbench.store.units import units_of

ARRAYS = {"fid": "features", "sfid": "spatial"}


def by_statistics(
    made: Given, real: Given | None, protocol: Protocol, wanted: Sequence[str]
) -> tuple[str, ...]:
    """Return the metrics that the statistics of a file serve, where these are as wide as needed.

    Where the file has images too, statistics of other features are left alone.

    Raises:
        UnlikeError: if a file of statistics alone has those of another width.
    """
    if real is None:
        return ()
    served = []
    for name in (n for n in wanted if n in real.moments):
        width, needed = len(real.moments[name][0]), _width(made, protocol, name)
        if needed in (None, width):
            served.append(name)
        elif real.source is None:
            raise UnlikeError(
                f"{made.name} has {needed} {ARRAYS[name]} a sample, {real.name} {width}; both must"
                f" come from the same extractor ({protocol.extractor} under {protocol.name})"
            )
    return tuple(served)


def score_statistics(
    made: Given,
    real: Given,
    protocol: Protocol,
    names: Sequence[str],
    plan: Plan,
    disk: Store,
) -> list[Score]:
    """Return the scores against statistics; the interval takes these as fixed."""
    moments: Any = resolve(STATISTICS["moments"])
    family: Any = resolve(STATISTICS["fid"])
    ref = f"{Path(real.name).stem}@{digest_file(Path(real.name))[:8]}"
    scores = []
    for name in names:
        rows = _rows(made, protocol, plan, disk, ARRAYS[name])
        held = moments(2, *real.moments[name])
        found = family(rows, held, confidence=protocol.confidence)["fid"]
        dtype = "f32" if protocol.precision == "float32" else "bf16"
        scores.append(
            Score(
                name=name,
                value=float(found.value),
                low=found.low,
                high=found.high,
                confidence=found.confidence,
                n=len(rows),
                method=found.method,
                signature=f"{name}|v{STAGES['scores'].version}|feat:{_feat(made, protocol)}"
                f"|ref:{ref}|n:{len(rows)}|m:statistics|quant:given|dtype:{dtype}",
                protocol=protocol.name,
            )
        )
    return scores


def _width(made: Given, protocol: Protocol, name: str) -> int | None:
    if not isinstance(made.source, FeatureSource):
        spec = extractor_named(protocol.extractor)
        return spec.dim if name == "fid" else spec.spatial
    return made.source.width if name == "fid" else None


def _feat(made: Given, protocol: Protocol) -> str:
    if isinstance(made.source, FeatureSource):
        return f"{made.source.extractor}@{made.source.weights[:8]}"
    weights = weights_named(extractor_named(protocol.extractor).weights)
    return f"{protocol.extractor}@{weights.short}"


def _rows(made: Given, protocol: Protocol, plan: Plan, disk: Store, name: str) -> Any:
    if isinstance(made.source, FeatureSource):
        return read_array(Path(made.name), name)
    stage = next(
        stage
        for stage in plan.stages
        if stage.kind == "features" and stage.params["extractor"] == protocol.extractor
    )
    folders = [disk.folder(unit.address) for unit in units_of(stage)]
    parts = [np.load(f / f"{name}.npy", allow_pickle=False) for f in folders]
    return np.concatenate(parts)[: made.source.count if made.source else None]
