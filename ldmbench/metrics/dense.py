"""Dense symmetric float64 matrices, of which LAPACK needs one triangle only."""

from __future__ import annotations

import numpy as np
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dsygst

from ldmbench.metrics.arrays import Array

__all__ = ["add_gram", "asymmetry", "factor", "mirror", "spectrum_between"]

TILE_ROWS = 256  # rows and columns copied at a time, so that both triangles stay in cache


def add_gram(total: Array, rows: Array) -> None:
    """Add rows'rows to the lower triangle of `total`, (D, D), in place."""
    # BLAS counts by columns, so it sees the transposes: their upper triangle is our lower one.
    dsyrk(1.0, rows.T, beta=1.0, c=total.T, overwrite_c=1)


def mirror(total: Array) -> None:
    """Copy the lower triangle of `total`, (D, D), to the upper one, in place."""
    for at in range(0, len(total), TILE_ROWS):
        here = slice(at, at + TILE_ROWS)
        square = total[here, here]
        total[here, here] = np.tril(square) + np.tril(square, -1).T
        total[here, at + TILE_ROWS :] = total[at + TILE_ROWS :, here].T


def asymmetry(matrix: Array) -> float:
    """Return the largest difference between an entry of `matrix`, (D, D), and its mirror image."""
    most = 0.0
    for at in range(0, len(matrix), TILE_ROWS):
        here, on = slice(at, at + TILE_ROWS), slice(at, None)
        most = max(most, float(np.abs(matrix[here, on] - matrix[on, here].T).max()))
    return most


def factor(matrix: Array) -> Array | None:
    """Return the lower Cholesky factor L with LL' = matrix, or None where it is not definite."""
    lower, info = dpotrf(matrix.T, lower=1, clean=1)
    return None if info else np.asarray(lower)


def spectrum_between(lower: Array, matrix: Array) -> Array:
    """Return the eigenvalues of L' M L, (D,) ascending, of a lower factor and a symmetric M."""
    product, _ = dsygst(matrix.T, lower, itype=2, lower=1)
    return np.asarray(np.linalg.eigvalsh(product, UPLO="L"))
