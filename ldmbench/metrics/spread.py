"""First and second order of the scores: what one sample, and a pair of samples, does to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ldmbench.metrics.arrays import Array
from ldmbench.metrics.frechet import Overlap, overlap
from ldmbench.metrics.inception_score import divergences, log_softmax, split_slices
from ldmbench.metrics.kernel import KernelSums, Subsets
from ldmbench.metrics.manifold import BallCount
from ldmbench.metrics.moments import Moments
from ldmbench.metrics.neighbours import Neighbourhood
from ldmbench.seeds import derive_seed

__all__ = [
    "Spread",
    "coverage_spread",
    "density_spread",
    "frechet_spread",
    "kernel_spread",
    "logit_spread",
    "share_spread",
]

PAIRS = 2048  # random pairs behind an estimate of a second-order variance
ROWS = 2048


@dataclass(frozen=True, eq=False)
class Spread:
    """Influences of samples on a score.

    Attributes:
        generated: (N,) influence of each generated sample, mean about 0.
        reference: (M,) the same for the reference, or None.
        excess: variance that these influences show beyond the score's own. An estimated influence
            carries noise that counts second-order variance twice where the score has it once
            (Efron, Stein 1981).
        least: second-order variance of the score: it has no less.
    """

    generated: Array
    reference: Array | None
    excess: float = 0.0
    least: float = 0.0


def frechet_spread(
    x: Array, y: Array | None, first: Moments, second: Moments, *, shared: Overlap | None = None
) -> Spread:
    """Return influences on the Fréchet distance.

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
    second_order = _frechet_second(x, y, first, second)
    return Spread(generated, reference, second_order, second_order)


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
    for start in range(0, len(x), ROWS):
        part = slice(start, start + ROWS)
        c = x[part].astype(np.float64) - side.mean
        images = half[part] if moved else c @ half
        lengths = np.einsum("nd,nd->n", c, c) - np.einsum("nr,nr->n", images, images)
        out[part] = lengths + 2.0 * (c @ delta)
    return np.asarray(out - out.mean())


def _frechet_second(x: Array, y: Array | None, first: Moments, second: Moments) -> float:
    """Return the second-order variance of the distance, at the pooled covariance.

    Around S1 = S2 = S the distance is |dm|^2 + 1/2 sum |dS_ij|^2 / (l_i + l_j) in the axes of S
    (l its eigenvalues): a quadratic form with kernel h(x, x') below. It matters only where the
    sets are close to equal; elsewhere the first order outweighs it.
    """
    values, axes = _pooled(x, y, first, second)
    if values[-1] <= 0.0:
        return 0.0
    values = np.maximum(values, 1e-12 * values[-1])
    kernel = 1.0 / (values[:, None] + values[None, :])
    trace = float(values.sum())

    def square(a: Array, b: Array) -> float:
        inner = np.einsum("nd,nd->n", a, b)
        z = a * b
        size = np.einsum("nd,nd->n", a, a) + np.einsum("nd,nd->n", b, b)
        both = np.einsum("nd,nd->n", z @ kernel, z) - size / 2.0 + trace / 2.0
        return float(np.square(inner + both / 2.0).mean())

    a, b = (_sampled(x, side, first.mean, axes) for side in (0, 1))
    total = 2.0 * square(a, b) / (len(x) * max(1, len(x) - 1))
    if y is not None:
        c, d = (_sampled(y, side, second.mean, axes) for side in (0, 1))
        total += 2.0 * square(c, d) / (len(y) * max(1, len(y) - 1))
        total += 4.0 * square(a, d) / (len(x) * len(y))
    return total


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
    """Return random rows in the given axes; sides 0 and 1 never hold the same row together."""
    rng = np.random.default_rng(derive_seed("second-order", len(x)))
    picked = rng.integers(0, len(x), PAIRS)
    if side:
        picked = (picked + rng.integers(1, len(x), PAIRS)) % len(x)
    return np.asarray((x[picked].astype(np.float64) - mean) @ axes)


def kernel_spread(
    x: Array, y: Array, drawn: Subsets, sums: tuple[KernelSums, KernelSums, KernelSums]
) -> Spread:
    """Return influences on the kernel distance, from the row sums of the three kernel blocks."""
    n, m = len(x), len(y)
    xx, yy, xy = sums
    gen = 2.0 * (xx.by_row / (n - 1) - xy.by_row / m)
    ref = 2.0 * (yy.by_row / (m - 1) - xy.by_col / n)
    # A sample counts as often as it was drawn.
    gen = (gen - gen.mean()) * np.bincount(drawn.generated.ravel(), minlength=n)
    ref = (ref - ref.mean()) * np.bincount(drawn.reference.ravel(), minlength=m)
    gen *= n / drawn.generated.size
    ref *= m / drawn.reference.size
    shown, own = _kernel_second(x, y, drawn)
    return Spread(gen, ref, shown - own, own)


def _kernel_second(x: Array, y: Array, drawn: Subsets) -> tuple[float, float]:
    """Return the second-order variance that the influences show, and that of the drawn pairs."""
    n, m = len(x), len(y)
    rounds, size = drawn.generated.shape
    rng = np.random.default_rng(derive_seed("second-order", n, m))
    a = x[rng.permutation(n)[:512]].astype(np.float64)
    b = y[rng.permutation(m)[:512]].astype(np.float64)
    width = x.shape[1]
    blocks = [(p @ q.T / width + 1.0) ** 3 for p, q in ((a, a), (b, b), (a, b))]
    shown = own = 0.0
    for kernel, pairs, weight, within in zip(
        blocks,
        (n * (n - 1), m * (m - 1), n * m),
        (2.0, 2.0, 4.0),
        (size * (size - 1), size * (size - 1), size**2),
        strict=True,
    ):
        square = _centred_square(kernel, kernel is not blocks[2])
        share = within / pairs
        shown += 2.0 * weight * square / pairs
        own += weight * square * ((1.0 - share) / rounds + share) / within
    return shown, own


def _centred_square(kernel: Array, same: bool) -> float:
    """Return the mean square of a kernel block with row and column means taken off."""
    if not same:
        kernel = kernel - kernel.mean(0) - kernel.mean(1)[:, None] + kernel.mean()
        p, q = kernel.shape
        return float(np.square(kernel).sum() / max(1, (p - 1) * (q - 1)))
    p = len(kernel)
    if p < 4:
        return 0.0
    kernel = kernel.copy()
    np.fill_diagonal(kernel, 0.0)
    row = kernel.sum(axis=1) / (p - 2)
    mean = kernel.sum() / ((p - 1) * (p - 2))
    kernel = kernel - row - row[:, None] + mean
    np.fill_diagonal(kernel, 0.0)
    return float(np.square(kernel).sum() / (p * (p - 3)))


def share_spread(balls: BallCount, hood: Neighbourhood, k: int) -> Spread:
    """Return influences on the share of points in any ball; here "generated" means the points.

    Owners by the jackknife: without owner j its ball is gone, and each ball that had j among its
    k nearest reaches to the next neighbour. What owner j does to point i alone is in the points'
    own variance already, so its square is excess.
    """
    points, owners = len(balls.per_point), len(balls.per_ball)
    inside = balls.per_point > 0
    change = np.zeros(owners)
    point, ball = balls.rings()
    few = balls.per_point[point] <= 1
    point, ball = point[few], ball[few]
    grown = np.unique(np.repeat(point, k) * owners + hood.index[ball, :k].ravel())
    point, owner = np.divmod(grown, owners)
    np.add.at(change, owner[balls.per_point[point] == 0], 1.0)
    alone = balls.per_point == 1
    np.add.at(change, balls.partner[alone], -1.0)
    saved = (balls.per_point[point] == 1) & (balls.partner[point] == owner)
    np.add.at(change, owner[saved], 1.0)
    lost, won = int(alone.sum()) - int(saved.sum()), int((balls.per_point[point] == 0).sum())
    return Spread(
        inside - inside.mean(),
        -(owners - 1) * _centred(change) / points,
        (lost + won) / points**2,
    )


def density_spread(balls: BallCount, hood: Neighbourhood, k: int) -> Spread:
    """Return influences on the density, the owners' by the jackknife."""
    points, owners = len(balls.per_point), len(balls.per_ball)
    ring = np.bincount(balls.rings()[1], minlength=owners).astype(np.float64)
    change = -balls.per_ball.astype(np.float64)
    np.add.at(change, hood.index[:, :k].ravel(), np.repeat(ring, k))
    events = int(balls.per_ball.sum()) + k * int(ring.sum())
    return Spread(
        _centred(balls.per_point / k),
        -(owners - 1) * _centred(change) / (k * points),
        events / (k * points) ** 2,
    )


def coverage_spread(balls: BallCount, hood: Neighbourhood, k: int) -> Spread:
    """Return influences on the coverage, by the jackknife (see share_spread)."""
    points, owners = len(balls.per_point), len(balls.per_ball)
    hit = balls.per_ball > 0
    lost = np.zeros(points)
    np.add.at(lost, balls.guest[balls.per_ball == 1], -1.0)
    ring = np.bincount(balls.rings()[1], minlength=owners)
    gained = np.zeros(owners)
    grown = ~hit & (ring > 0)
    np.add.at(gained, hood.index[grown, :k].ravel(), 1.0)
    own = hit - hit.mean()
    return Spread(
        -(points - 1) * _centred(lost) / owners,
        own - (owners - 1) * _centred(gained) / owners,
        float(gained.sum() - lost.sum()) / owners**2,
    )


def logit_spread(logits: Array, splits: int) -> Spread:
    """Return influences on the inception score.

    The marginal of all samples is used, not that of a split, in which each sample has a large
    share; the second-order variance of the splits' own marginals is then missing and is added.
    """
    n = len(logits)
    each = divergences(logits)
    score, variance = 0.0, 0.0
    for part in split_slices(n, splits):
        one = float(np.exp(divergences(logits[part]).mean()))
        score += one / splits
        variance += (one / (len(logits[part]) * splits)) ** 2 / 2.0
    missing = variance * _logit_square(logits) * (1.0 - 2.0 / splits)
    return Spread(score * (each - each.mean()), None, -missing)


def _logit_square(logits: Array) -> float:
    """Return the mean square of sum (p - q)(p' - q) / q over random pairs."""
    if len(logits) < 3:
        return 0.0
    rng = np.random.default_rng(derive_seed("second-order", len(logits)))
    marginal = np.zeros(logits.shape[1])
    for start in range(0, len(logits), ROWS):
        marginal += np.exp(log_softmax(logits[start : start + ROWS])).sum(axis=0)
    marginal = np.maximum(marginal / len(logits), 1e-300)
    i = rng.integers(0, len(logits), PAIRS)
    j = (i + rng.integers(1, len(logits), PAIRS)) % len(logits)
    p, q = (np.exp(log_softmax(logits[at])) - marginal for at in (i, j))
    return float(np.square(((p * q) / marginal).sum(axis=1)).mean())


def _centred(values: Array) -> Array:
    return np.asarray(values - values.mean())
