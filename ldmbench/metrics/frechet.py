"""Fréchet distance between Gaussians fitted to features, without a matrix square root."""

from __future__ import annotations

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, check_alike, check_features
from ldmbench.metrics.moments import Moments, moments

__all__ = ["frechet_distance", "trace_root"]

EPS = float(np.finfo(np.float64).eps)


def frechet_distance(generated: object, reference: object) -> float:
    """Return the squared 2-Wasserstein distance of two Gaussians (Dowson, Landau 1982).

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)); the trace of the root is the sum of singular
    values of R1 R2' for any R with R'R = S, so no matrix square root is taken.

    Args:
        generated: features (N, D) or Moments.
        reference: features (M, D) or Moments. Keep Moments of a reference that is used again.

    Returns:
        Squared feature units, float64, never clamped: rounding may leave -1e-10 on equal sets.

    Raises:
        InputError: bad features, fewer than two samples on a side, or unlike widths.
    """
    first, rows1 = _side(generated, "generated")
    second, rows2 = _side(reference, "reference")
    if len(first.mean) != len(second.mean):
        raise InputError(
            f"generated features have {len(first.mean)} columns and reference features "
            f"{len(second.mean)}; both must come from the same extractor"
        )
    delta = first.mean - second.mean
    straight = float(delta @ delta + np.trace(first.cov) + np.trace(second.cov))
    return straight - 2.0 * trace_root(first, second, rows1, rows2)


def trace_root(
    first: Moments, second: Moments, rows1: Array | None = None, rows2: Array | None = None
) -> float:
    """Return tr (S1 S2)^(1/2).

    Args:
        first: moments with covariance S1.
        second: moments with covariance S2.
        rows1: the features behind `first`, when at hand: fewer rows than columns make S1 singular,
            and then the centred rows are its exact root.
        rows2: the same for `second`.
    """
    if not (_short(rows1) or _short(rows2)):
        quick = _by_cholesky(first.cov, second.cov)
        if quick is not None:
            return quick
    product = root(first, rows1) @ root(second, rows2).T
    if not product.size:
        return 0.0
    return float(np.linalg.svd(product, compute_uv=False).sum())


def root(side: Moments, rows: Array | None = None) -> Array:
    """Return R, (rank or more, D) float64, with R'R = cov."""
    if rows is not None and _short(rows):
        return np.asarray((rows.astype(np.float64) - side.mean) / np.sqrt(len(rows) - 1))
    try:
        factor = np.linalg.cholesky(side.cov)
        if np.diag(factor).min() > 1e-6 * np.diag(factor).max():
            return np.ascontiguousarray(factor.T)
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(side.cov)
    kept = values > len(values) * EPS * max(float(values[-1]), 0.0)
    return np.asarray(np.sqrt(values[kept])[:, None] * vectors[:, kept].T)


def _by_cholesky(cov1: Array, cov2: Array) -> float | None:
    """Return the trace by the spectrum of L'S2 L, or None where rounding would show."""
    try:
        lower = np.linalg.cholesky(cov1)
    except np.linalg.LinAlgError:
        return None
    values = np.linalg.eigvalsh(lower.T @ cov2 @ lower)
    largest = float(values[-1])
    if largest <= 0.0 or float(values[0]) <= EPS * len(values) * largest:
        return None
    roots = np.sqrt(values)
    # A shift of one eigenvalue by eps x the largest moves its root by eps x largest / (2 root).
    blur = EPS * largest * float((0.5 / roots).sum())
    total = float(roots.sum())
    return total if blur < 1e-8 * max(1.0, total) else None


def _side(value: object, name: str) -> tuple[Moments, Array | None]:
    if isinstance(value, Moments):
        if value.n < 2:
            raise InputError(f"{name} moments are of {value.n} sample; at least 2 are needed")
        return value, None
    rows = check_features(value, name)
    return moments(rows), rows


def _short(rows: Array | None) -> bool:
    return rows is not None and rows.shape[0] <= rows.shape[1]


def check_pair(generated: object, reference: object, *, least: int = 2) -> tuple[Array, Array]:
    """Return both feature sets checked, and of equal width.

    Raises:
        InputError: as check_features and check_alike say.
    """
    x = check_features(generated, "generated", least=least)
    y = check_features(reference, "reference", least=least)
    check_alike(x, y)
    return x, y
