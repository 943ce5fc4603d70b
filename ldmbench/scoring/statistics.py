"""Means and covariances of a file: which metrics they serve, and as a source of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ldmbench.canonical import digest_file
from ldmbench.catalog.extractors import extractor_named
from ldmbench.catalog.metrics import METRICS, Needs
from ldmbench.errors import UnlikeError
from ldmbench.plan.score import FeatureSource, StatisticsSource
from ldmbench.schema.protocol import Protocol
from ldmbench.scoring.sides import Side

ARRAYS: dict[Needs, str] = {"features": "features", "spatial": "spatial features"}
BESIDE_IMAGES = "inception-v3-compat"
"""Who made the statistics of a file that has images too: guided-diffusion's evaluator."""


def statistics_of(
    made: Side, real: Side | None, protocol: Protocol, wanted: Sequence[str]
) -> StatisticsSource | None:
    """Return the statistics of a file as a source, if they serve any of the metrics.

    Raises:
        UnlikeError: as `by_statistics`.
    """
    served = by_statistics(made, real, protocol, wanted)
    if real is None or not served:
        return None
    path = Path(real.name)
    return StatisticsSource(path.stem, digest_file(path), served)


def by_statistics(
    made: Side, real: Side | None, protocol: Protocol, wanted: Sequence[str]
) -> tuple[str, ...]:
    """Return the metrics that the statistics of a file serve, where these are as wide as needed.

    Where the file has images too, statistics of another network are left alone.

    Raises:
        UnlikeError: if a file of statistics alone has those of another width.
    """
    if real is None or (real.source is not None and protocol.extractor != BESIDE_IMAGES):
        return ()
    served = []
    for name in (n for n in wanted if n in real.moments):
        needs = METRICS[name].family.needs
        width, needed = len(real.moments[name][0]), _width(made, protocol, needs)
        if needed in (None, width):
            served.append(name)
        elif real.source is None:
            raise UnlikeError(
                f"{made.name} has {needed} {ARRAYS[needs]} a sample, {real.name} {width}; both must"
                f" come from the same extractor ({protocol.extractor} under {protocol.name})"
            )
    return tuple(served)


def _width(made: Side, protocol: Protocol, needs: Needs) -> int | None:
    if not isinstance(made.source, FeatureSource):
        spec = extractor_named(protocol.extractor)
        return spec.spatial if needs == "spatial" else spec.dim
    return (made.source.spatial or None) if needs == "spatial" else made.source.width
