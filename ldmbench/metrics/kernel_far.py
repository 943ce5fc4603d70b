"""Kernel distance far from zero, where cubes of products cancel: the same from centred rows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ldmbench.metrics.arrays import Array
from ldmbench.metrics.moments import pivot_of

__all__ = ["FAR_MEAN_SQUARE", "centre_of", "far_distances", "far_part"]

FAR_MEAN_SQUARE = 100.0  # |centre|^2 / D from which on rows are centred first
ROWS_AT_ONCE = 128


def centre_of(rows: Array) -> Array | None:
    """Return the centre (D,) float64 of features (N, D) that lie far from zero, else None."""
    centre = pivot_of(rows)
    return centre if float(centre @ centre) > FAR_MEAN_SQUARE * rows.shape[1] else None


def far_part(rows: Array, centre: Array) -> Array:
    """Return k(x, c), (N,) float64: what a sample alone adds to its entries, but for a constant."""
    out = np.empty(len(rows))
    for at in range(0, len(rows), ROWS_AT_ONCE):
        part = slice(at, at + ROWS_AT_ONCE)
        out[part] = rows[part].astype(np.float64) @ centre
    return np.asarray((out / len(centre) + 1.0) ** 3)


def far_distances(x: Array, y: Array, centre: Array, pairs: Iterable[tuple[Array, Array]]) -> Array:
    """Return the unbiased MMD^2 of kernel (x.y/D + 1)^3 for each pair of subsets, float64.

    What depends on one sample alone drops out of the distance, so k(x, y) may be replaced by
    k(x, y) - k(x, c) - k(c, y) + k(c, c), which is small when c is near both.

    Args:
        x: (N, D) features.
        y: (M, D) features.
        centre: (D,) c.
        pairs: row numbers into x and into y.
    """
    return np.array([_distance(x[i], y[j], centre) for i, j in pairs])


def _distance(x: Array, y: Array, centre: Array) -> float:
    u, v = (np.subtract(rows, centre, dtype=np.float64) for rows in (x, y))
    n, m = len(u), len(v)
    inner = _sum(u, u, centre, same=True) / (n * (n - 1)) + _sum(v, v, centre, same=True) / (
        m * (m - 1)
    )
    return inner - 2.0 * _sum(u, v, centre) / (n * m)


def _sum(u: Array, v: Array, centre: Array, *, same: bool = False) -> float:
    """Return the sum of the replaced kernel over pairs, of a sample with itself left out."""
    width = len(centre)
    root = float(centre @ centre) / width + 1.0  # k(c, c) = root^3
    own, tilt = u @ centre / width, v @ centre / width  # k(u, c) = (root + own)^3
    across, total = v.T / width, 0.0
    for start in range(0, len(u), ROWS_AT_ONCE):
        w = u[start : start + ROWS_AT_ONCE] @ across
        h = own[start : start + ROWS_AT_ONCE, None] + (root + tilt)
        # (h + w)^3 - h^3
        kernel = h + w
        kernel *= h
        kernel *= 3.0
        kernel += w * w
        kernel *= w
        if same:
            at = np.arange(len(w))
            kernel[at, at + start] = 0.0
        total += float(kernel.sum())
    # h^3 - (root + own)^3 - (root + tilt)^3 + root^3 = 3 own tilt (2 root + own + tilt)
    straight = 2.0 * root * own.sum() * tilt.sum()
    straight += np.square(own).sum() * tilt.sum() + own.sum() * np.square(tilt).sum()
    if same:
        straight -= 2.0 * (np.square(own) * (root + own)).sum()
    return total + 3.0 * float(straight)
