"""Families of metrics as a stage calls them: `compute` of the rows of `catalog/metrics.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ldmbench.catalog.metrics import metrics_of
from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, check_features
from ldmbench.metrics.engine import Engine, engine_of
from ldmbench.metrics.families import moments_family, neighbours_family
from ldmbench.metrics.moments import Moments, gather
from ldmbench.metrics.paired import psnr, ssim
from ldmbench.metrics.resample import Replicates, mean_over_samples, nothing

__all__ = ["as_scores", "feature_pairs", "moments", "neighbours", "pairs", "spatial"]


def as_scores(
    found: object, family: str, *, count: int, confidence: float
) -> dict[str, Replicates]:
    """Return what a family computed as scores with intervals, by the names of its metrics.

    Args:
        found: a number, an array of one number for each sample, Replicates, or a dict of these.
        family: its name.
        count: samples behind a single number.
        confidence: of the intervals.

    Raises:
        InputError: a name that is no metric of the family, or a value that is none of these.
    """
    names = [row.name for row in metrics_of(family)]
    by_name = found if isinstance(found, Mapping) else {names[0]: found}
    if not isinstance(found, Mapping) and len(names) > 1:
        raise InputError(f"{family} computes {', '.join(names)}; return a dict with these names")
    unknown = [name for name in by_name if name not in names]
    if unknown:
        raise InputError(f"{family} returned {unknown[0]}, which no row of the catalog names")
    return {name: _score(value, count, confidence) for name, value in by_name.items()}


def _score(found: object, count: int, confidence: float) -> Replicates:
    if isinstance(found, Replicates):
        return found
    values = np.asarray(found, dtype=np.float64)
    if values.ndim == 1:
        return mean_over_samples(values, confidence)
    if values.ndim == 0:
        return nothing(float(values), count, "one number for all samples", confidence)
    raise InputError(f"a metric returned an array {values.shape}; it has one number a sample")


def moments(
    generated: object,
    reference: object,
    *,
    paired: bool = False,
    confidence: float = 0.95,
    engine: Engine | None = None,
    kept: dict[object, Any] | None = None,
    report: Any = None,
) -> dict[str, Replicates]:
    """Return `moments_family`; moments of the reference are computed once and stay in `kept`."""
    known, kept = None, {} if kept is None else kept
    if not isinstance(reference, Moments):
        if "moments" not in kept:
            kept["moments"] = gather(
                check_features(reference, "reference"), engine=engine or engine_of(reference)
            )
        known = kept["moments"]
    return moments_family(
        generated,
        reference,
        reference_moments=known,
        paired=paired,
        confidence=confidence,
        engine=engine,
        report=report,
    )


def spatial(generated: object, reference: object, **options: Any) -> Replicates:
    """Return the Fréchet distance of spatial features, (N, S) each; options as of `moments`."""
    (found,) = moments(generated, reference, **options).values()
    return found


def neighbours(
    generated: Array,
    reference: Array,
    *,
    k_density: int,
    kid_subsets: int,
    kid_subset_size: int,
    **options: Any,
) -> dict[str, Replicates]:
    """Return `neighbours_family`; sets too small for `k_density` have no score that needs it."""
    return neighbours_family(
        generated,
        reference,
        density_k=k_density if k_density < min(len(generated), len(reference)) else None,
        subsets=kid_subsets,
        subset_size=kid_subset_size,
        **options,
    )


def feature_pairs(generated: Array, reference: Array) -> Array:
    """Return the Euclidean distance of the features of each pair, float64 (N,).

    Args:
        generated: (N, D) features of samples.
        reference: (N, D) features of the images that they belong to.

    Raises:
        InputError: bad features, or unlike shapes.
    """
    x, y = check_features(generated, "generated"), check_features(reference, "reference")
    if x.shape != y.shape:
        raise InputError(f"features {x.shape} and {y.shape} are no pairs")
    return np.asarray(np.linalg.norm(x - y, axis=1))


def pairs(batches: Iterable[tuple[Array, Array]]) -> dict[str, Array]:
    """Return psnr and ssim of each pair of images.

    Args:
        batches: of pairs (a, b), uint8 NHWC each.
    """
    each = [(psnr(a, b), ssim(a, b)) for a, b in batches]
    return {
        name: np.concatenate(values)
        for name, values in zip(("psnr", "ssim"), zip(*each, strict=True), strict=True)
    }
