"""One door to the intervals: the replicates of a metric by its name."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any

from ldmbench.catalog.metrics import FDR, LPIPS, MOMENTS, NEIGHBOURS, PAIRS, SCORABLE, SPATIAL
from ldmbench.metrics.computed import as_scores
from ldmbench.metrics.diversity import spatial_family
from ldmbench.metrics.families import moments_family, neighbours_family, pairs_family
from ldmbench.metrics.paired import lpips_family
from ldmbench.metrics.ratio import ratio_of_features
from ldmbench.metrics.resample import CONFIDENCE, Replicates
from ldmbench.registry import pick, resolve

__all__ = ["bootstrap"]

_OF_ARRAYS: dict[str, Callable[..., object]] = {
    MOMENTS.name: moments_family,
    SPATIAL.name: spatial_family,
    NEIGHBOURS.name: neighbours_family,
    PAIRS.name: pairs_family,
    LPIPS.name: lpips_family,
    FDR.name: ratio_of_features,
}
"""Families whose stage hands them something else than whole arrays."""


def bootstrap(metric: str, *inputs: object, **options: Any) -> Replicates:
    """Return a score with its interval and its 200 replicates, drawn from seeds common to all.

    Args:
        metric: a row of `ldmbench list metrics`, but rfid.
        inputs: what the metric takes: generated and reference features, logits, image pairs,
            image and text features, or generated, training and held-out features; for fdr
            generated, reference and validation features.
        options: of the metric (k, rule, subsets, splits, ...; paths of LPIPS), and confidence.

    Raises:
        InputError: an unknown metric, or inputs that the metric refuses.

    Examples:
        >>> first = [[float(i)] for i in range(20)]
        >>> second = [[float(i) + 1] for i in range(20)]
        >>> score = bootstrap("fid", first, second)
        >>> round(score.value, 6), score.low < score.value < score.high
        (1.0, True)
    """
    row = pick(SCORABLE, metric, "metric")
    family = _OF_ARRAYS.get(row.family.name) or resolve(row.family.compute)
    assert callable(family)
    if family is neighbours_family:
        if "k_density" in row.fields:  # its own names for them are those of the metric asked for
            options = {f"density_{n}" if n in ("k", "rule") else n: v for n, v in options.items()}
        else:
            options["density_k"] = None
        if "k" not in row.fields:
            options["k"] = 1  # what is not asked for needs no samples
    made = family(*inputs, **options)
    first, confidence = inputs[0], options.get("confidence", CONFIDENCE)
    count = len(first) if isinstance(first, Sized) else 0
    return as_scores(made, row.family.name, count=count, confidence=confidence)[metric]
