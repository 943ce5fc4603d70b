"""Fréchet distance between Gaussians fitted to features, without a matrix square root."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, check_alike, check_features
from ldmbench.metrics.dense import spectrum_between
from ldmbench.metrics.engine import engine_of
from ldmbench.metrics.moments import Moments, gather

__all__ = ["Overlap", "check_pair", "check_side", "frechet_distance", "overlap", "trace_root"]

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Overlap:
    """What two covariances share: the spectrum of R S2 R', where R'R = S1.

    Attributes:
        trace: tr (S1 S2)^(1/2).
        base: (r, D) R, of the side that has fewer dimensions.
        values: (p,) eigenvalues above rounding, ascending.
        vectors: (r, p) their eigenvectors.
        turned: R belongs to the second set.
    """

    trace: float
    base: Array
    values: Array
    vectors: Array
    turned: bool


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

    Examples:
        >>> square = [[0, 0], [2, 0], [0, 2], [2, 2]]
        >>> moved = [[3, 4], [5, 4], [3, 6], [5, 6]]
        >>> round(frechet_distance(moved, square), 6)
        25.0
    """
    first, rows1 = _side(generated, "generated")
    second, rows2 = _side(reference, "reference")
    check_alike(first.mean[None], second.mean[None])
    return _straight(first, second) - 2.0 * trace_root(first, second, rows1, rows2)


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
        # The second side is the one that is kept, and its factor with it.
        lower = second.lower
        values = None if lower is None else spectrum_between(lower, first.cov)
        quick = None if values is None else _sum_of_roots(values, _straight(first, second))
        if quick is not None:
            return quick
    product = root(first, rows1) @ root(second, rows2).T
    if not product.size:
        return 0.0
    return float(np.linalg.svd(product, compute_uv=False).sum())


def overlap(
    first: Moments, second: Moments, rows1: Array | None = None, rows2: Array | None = None
) -> Overlap:
    """Return the trace of trace_root, and with it what maps one set to the other.

    Args:
        first: moments with covariance S1.
        second: moments with covariance S2.
        rows1: the features behind `first`, when at hand.
        rows2: the same for `second`.
    """
    sides = [(first, rows1), (second, rows2)]
    sizes = [len(r) if r is not None and _short(r) else len(s.mean) for s, r in sides]
    turned = sizes[1] < sizes[0]
    (one, own), (two, others) = sides[::-1] if turned else sides
    base = root(one, own)
    if _short(others):
        side = base @ root(two, others).T
        product = side @ side.T
    else:
        product = base @ two.cov @ base.T
    if not product.size:
        return Overlap(0.0, base, np.zeros(0), np.zeros((0, 0)), turned)
    values, vectors = np.linalg.eigh(product)
    trace = _sum_of_roots(values, _straight(first, second))
    if trace is None:
        trace = trace_root(one, two, own, others)
    kept = values > EPS * len(values) * max(float(values[-1]), 0.0)
    return Overlap(trace, base, values[kept], vectors[:, kept], turned)


def root(side: Moments, rows: Array | None = None) -> Array:
    """Return R, (rank or more, D) float64, with R'R = cov."""
    if rows is not None and _short(rows):
        return np.asarray((rows.astype(np.float64) - side.mean) / np.sqrt(len(rows) - 1))
    if side.lower is not None:
        sizes = np.diag(side.lower)
        if sizes.min() > 1e-6 * sizes.max():
            return np.ascontiguousarray(side.lower.T)
    values, vectors = np.linalg.eigh(side.cov)
    kept = values > len(values) * EPS * max(float(values[-1]), 0.0)
    return np.asarray(np.sqrt(values[kept])[:, None] * vectors[:, kept].T)


def _straight(first: Moments, second: Moments) -> float:
    """Return the distance but for its last term."""
    delta = first.mean - second.mean
    return float(delta @ delta + np.trace(first.cov) + np.trace(second.cov))


def _sum_of_roots(values: Array, straight: float) -> float | None:
    """Return the sum of the roots of eigenvalues, or None where rounding would show.

    Args:
        values: ascending.
        straight: the distance but for twice this sum.
    """
    largest = float(values[-1])
    if largest <= 0.0 or float(values[0]) <= EPS * len(values) * largest:
        return None
    roots = np.sqrt(values)
    # A shift of one eigenvalue by eps x the largest moves its root by eps x largest / (2 root).
    blur = EPS * largest * float((0.5 / roots).sum())
    total = float(roots.sum())
    return total if 2.0 * blur < 1e-6 * max(1.0, straight - 2.0 * total) else None


def _side(value: object, name: str) -> tuple[Moments, Array | None]:
    if isinstance(value, Moments):
        _check_covariance(value, name)
        return value, None
    rows = check_features(value, name)
    return gather(rows, engine=engine_of(value)), rows


def check_side(side: Moments, rows: Array) -> None:
    """Refuse reference moments that do not go with generated features.

    Raises:
        InputError: unlike widths, one sample, or no covariance.
    """
    _check_covariance(side, "reference")
    check_alike(rows, side.mean[None])


def _check_covariance(side: Moments, name: str) -> None:
    """Refuse what is no covariance; statistics kept as float32 may be a little off.

    Raises:
        InputError: one sample, an asymmetric matrix, a negative variance or eigenvalue.
    """
    if side.n < 2:
        raise InputError(f"{name} moments are of {side.n} sample; at least 2 are needed")
    if side.fault:
        raise InputError(
            f"the covariance of the {name} moments {side.fault}, so it is no covariance; "
            "compute the moments from features in float64"
        )


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
