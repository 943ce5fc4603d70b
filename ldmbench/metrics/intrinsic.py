"""Intrinsic dimension of latents, and the scale at which it is estimated."""

from __future__ import annotations

import math

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, as_array
from ldmbench.metrics.resample import (
    CONFIDENCE,
    Replicates,
    mean_over_samples,
    nothing,
    replicate,
)
from ldmbench.words import plural

__all__ = ["intrinsic_family"]

LEAST = 3
"""Neighbours: of two, one ratio is left, and the estimate has no variance."""


def intrinsic_family(distances: object, *, confidence: float = CONFIDENCE) -> dict[str, Replicates]:
    """Return intrinsic_dimension and intrinsic_scale of latents among training latents.

    With T_1 <= ... <= T_k the distances of a latent to its k nearest among others, the maximum
    likelihood of a dimension m is (Levina, Bickel 2004, eq. 8)

        1 / m_i = 1 / (k - 1) * sum over j < k of log(T_k / T_j),

    and of one m for all latents the inverse of the mean of 1 / m_i over i (MacKay, Ghahramani
    2005). The scale is the mean of T_k: how far neighbours lie, in the units of the distances.

    Training latents are taken as fixed; the interval is over fresh draws of the latents.

    Args:
        distances: (N, k) of each latent, ascending; all NaN where there is nothing to measure.
        confidence: of the intervals.

    Raises:
        InputError: fewer than three neighbours, or distances that are negative, not finite or not
            in ascending order.

    Examples:
        >>> far = [[0.25, 0.5, 1.0], [0.5, 0.5, 1.0]]
        >>> round(intrinsic_family(far)["intrinsic_dimension"].value, 4)
        1.1542
    """
    found = _checked(distances)
    return {
        "intrinsic_dimension": _dimension(found, confidence),
        "intrinsic_scale": _scale(found[:, -1], confidence),
    }


def _scale(farthest: Array, confidence: float) -> Replicates:
    if np.isnan(farthest).all():
        return nothing(math.nan, len(farthest), "all training latents are equal", confidence)
    return mean_over_samples(farthest, confidence)


def _dimension(found: Array, confidence: float) -> Replicates:
    apart = found[:, 0] > 0
    kept, same = found[apart], int((~apart).sum())
    if len(kept) == 0:
        why = "no latent is apart from all training latents"
        return nothing(math.nan, len(found), why, confidence)
    each = np.log(kept[:, -1:] / kept[:, :-1]).mean(axis=1)
    inverse = float(each.mean())
    if inverse == 0.0:
        why = "the neighbours of each latent are equally far"
        return nothing(math.inf, len(kept), why, confidence)
    note = "training latents fixed"
    if same:
        note += f"; without {plural(same, 'latent')} equal to a training latent"
    return replicate(
        1 / inverse,
        -(each - inverse) / inverse**2,
        least=0.0,
        confidence=confidence,
        note=note,
    )


def _checked(distances: object) -> Array:
    found = np.asarray(as_array(distances), dtype=np.float64)
    if found.ndim != 2 or found.shape[1] < LEAST or not len(found):
        raise InputError(
            f"distances to neighbours are {found.shape}; give (N, k) with k of {LEAST} or more:"
            f" at least {LEAST} training images"
        )
    if np.isnan(found).all():
        return found
    if not np.isfinite(found).all() or found.min() < 0 or (np.diff(found, axis=1) < 0).any():
        raise InputError("distances to neighbours must be finite, 0 or more, and ascending")
    return found
