"""First and second order of the Fréchet distance: what one sample, and a pair, does to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ldmbench.metrics.arrays import Array
from ldmbench.metrics.frechet import Overlap, overlap
from ldmbench.metrics.influence import RANDOM_PAIRS, Influences
from ldmbench.metrics.moments import Moments
from ldmbench.seeds import derive_seed

__all__ = [
    "SecondOrder",
    "first_order",
    "frechet_influences",
    "paired_second_order",
    "second_order",
]

ROWS_AT_ONCE = 2048


class SecondOrder(NamedTuple):
    """Second-order variance of the distance by the pairs it comes from; 0 for what is fixed."""

    generated: float
    between: float
    reference: float


def frechet_influences(
    x: Array,
    y: Array | None,
    first: Moments,
    second: Moments,
    *,
    shared: Overlap | None = None,
    paired: bool = False,
) -> Influences:
    """Return first and second order of the Fréchet distance; arguments of first_order.

    Where rows are `paired`, x[i] and y[i] of one picture, the pair is the sample: it weighs what
    its two rows weigh together, and they nearly cancel where the pictures are alike.
    """
    generated, reference = first_order(x, y, first, second, shared=shared)
    if paired:
        assert y is not None
        assert reference is not None
        total = paired_second_order(x, y, first, second)
        return Influences(generated + reference, None, total, total)
    total = sum(second_order(x, y, first, second))
    return Influences(generated, reference, total, total)


def first_order(
    x: Array, y: Array | None, first: Moments, second: Moments, *, shared: Overlap | None = None
) -> tuple[Array, Array | None]:
    """Return influences on the Fréchet distance, (N,) of generated and (M,) of reference samples.

    Its derivative in S1 is I - T with T the optimal map from N(m1, S1) to N(m2, S2), so a sample
    weighs (x - m1)'(I - T)(x - m1) + 2 (m1 - m2)'(x - m1) (Bhatia, Jain, Lim 2019, section 3).
    With R'R = S1 and V W V' the spectrum of R S2 R', T = (R^-1 V) W^(1/2) (R^-1 V)' and its
    inverse, the map of the second set, is (R'V) W^(-1/2) (R'V)'.

    Args:
        x: (N, D) generated features.
        y: (M, D) reference features, or None where only moments are known.
        first: moments of x.
        second: moments of the reference.
        shared: their overlap where it is known already.
    """
    both = shared or overlap(first, second, x, y)
    delta = second.mean - first.mean if both.turned else first.mean - second.mean
    (own, one), (other, two) = (
        ((second, y), (first, x)) if both.turned else ((first, x), (second, y))
    )
    quarter = both.values**0.25
    here = None if one is None else _own_influence(one, own, both, both.vectors * quarter, delta)
    there = None
    if two is not None:
        there = _influence(two, other, (both.base.T @ both.vectors) / quarter, -delta)
    generated, reference = (there, here) if both.turned else (here, there)
    assert generated is not None
    return generated, reference


def _own_influence(x: Array, side: Moments, both: Overlap, turn: Array, delta: Array) -> Array:
    """Return the influences of the set that the overlap's base R belongs to; turn is V W^(1/4)."""
    base = both.base
    if len(base) == len(x) and len(x) <= x.shape[1]:  # R is the centred rows themselves
        return _influence(x, side, np.sqrt(len(x) - 1) * turn, delta, moved=True)
    if base.shape[0] == base.shape[1]:
        return _influence(x, side, np.linalg.solve(base, turn), delta)
    # Rows of R are orthogonal: each is an axis of S1 times the root of its variance.
    return _influence(x, side, base.T @ (turn / np.square(base).sum(axis=1)[:, None]), delta)


def _influence(x: Array, side: Moments, half: Array, delta: Array, *, moved: bool = False) -> Array:
    """Return |x|^2 - |half' x|^2 + 2 delta'x of centred rows, centred.

    `moved` says that `half` holds the images of the rows, not the map.
    """
    out = np.empty(len(x))
    for start in range(0, len(x), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        c = x[part].astype(np.float64) - side.mean
        images = half[part] if moved else c @ half
        lengths = np.einsum("nd,nd->n", c, c) - np.einsum("nr,nr->n", images, images)
        out[part] = lengths + 2.0 * (c @ delta)
    return np.asarray(out - out.mean())


def second_order(x: Array, y: Array | None, first: Moments, second: Moments) -> SecondOrder:
    """Return the second-order variance of the distance, at the pooled covariance.

    Around S1 = S2 = S the distance is |dm|^2 + 1/2 sum |dS_ij|^2 / (l_i + l_j) in the axes of S
    (l its eigenvalues): a quadratic form with the kernel h(x, x') of _kernel. It matters only
    where the sets are close to equal; elsewhere the first order outweighs it.
    """
    values, axes = _pooled(x, y, first, second)
    if values[-1] <= 0.0:
        return SecondOrder(0.0, 0.0, 0.0)
    h = _kernel(values)
    a, b = (_sampled(x, side, first.mean, axes) for side in (0, 1))
    generated = 2.0 * _mean_square(h(a, b)) / (len(x) * max(1, len(x) - 1))
    if y is None:
        return SecondOrder(generated, 0.0, 0.0)
    c, d = (_sampled(y, side, second.mean, axes) for side in (0, 1))
    between = 4.0 * _mean_square(h(a, d)) / (len(x) * len(y))
    own = 2.0 * _mean_square(h(c, d)) / (len(y) * max(1, len(y) - 1))
    return SecondOrder(generated, between, own)


def paired_second_order(x: Array, y: Array, first: Moments, second: Moments) -> float:
    """Return the second-order variance of the distance where x[i] and y[i] are of one picture.

    The form of second_order takes the difference of two sets, so two pairs (x, y) and (x', y')
    move it by h(x, x') + h(y, y') - h(x, y') - h(y, x').

    Args:
        x: (N, D) generated features.
        y: (N, D) features of the pictures they were made from.
        first: moments of x.
        second: moments of y.
    """
    values, axes = _pooled(x, y, first, second)
    if values[-1] <= 0.0:
        return 0.0
    h = _kernel(values)
    # Equally many rows are picked at the same positions: a and c are pairs, and so are b and d.
    a, b = (_sampled(x, side, first.mean, axes) for side in (0, 1))
    c, d = (_sampled(y, side, second.mean, axes) for side in (0, 1))
    square = _mean_square(h(a, b) + h(c, d) - h(a, d) - h(c, b))
    return 2.0 * square / (len(x) * max(1, len(x) - 1))


def _kernel(values: Array) -> Callable[[Array, Array], Array]:
    """Return h: rows (P, p) and (P, p) in the axes of S -> (P,); eigenvalues of S ascending."""
    values = np.maximum(values, 1e-12 * values[-1])
    weights = 1.0 / (values[:, None] + values[None, :])
    trace = float(values.sum())

    def h(a: Array, b: Array) -> Array:
        inner = np.einsum("nd,nd->n", a, b)
        z = a * b
        size = np.einsum("nd,nd->n", a, a) + np.einsum("nd,nd->n", b, b)
        both = np.einsum("nd,nd->n", z @ weights, z) - size / 2.0 + trace / 2.0
        return np.asarray(inner + both / 2.0)

    return h


def _mean_square(values: Array) -> float:
    return float(np.square(values).mean())


def _pooled(x: Array, y: Array | None, first: Moments, second: Moments) -> tuple[Array, Array]:
    """Return eigenvalues, ascending, and axes (D, p) of the mean covariance.

    Few samples span few axes: those of the small matrix of their products are then enough.
    """
    if y is None or len(x) + len(y) >= len(first.mean):
        return np.linalg.eigh((first.cov + second.cov) / 2.0)
    rows = np.concatenate(
        [
            (side - own.mean) / np.sqrt(2.0 * (len(side) - 1))
            for side, own in ((x, first), (y, second))
        ]
    )
    values, vectors = np.linalg.eigh(rows @ rows.T)
    kept = values > 1e-12 * max(float(values[-1]), np.finfo(np.float64).tiny)
    if not kept.any():
        return np.zeros(1), np.zeros((len(first.mean), 1))
    return values[kept], rows.T @ (vectors[:, kept] / np.sqrt(values[kept]))


def _sampled(x: Array, side: int, mean: Array, axes: Array) -> Array:
    """Return random rows in these axes; sides 0 and 1 never hold the same row together."""
    rng = np.random.default_rng(derive_seed("second-order", len(x)))
    picked = rng.integers(0, len(x), RANDOM_PAIRS)
    if side:
        picked = (picked + rng.integers(1, len(x), RANDOM_PAIRS)) % len(x)
    return np.asarray((x[picked].astype(np.float64) - mean) @ axes)
