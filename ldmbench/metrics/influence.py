"""First and second order of the scores: what one sample, and a pair of samples, does to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ldmbench.metrics.arrays import Array
from ldmbench.metrics.inception_score import divergences, log_softmax, split_slices
from ldmbench.metrics.kernel import KernelSums, Subsets
from ldmbench.metrics.kernel_far import far_part
from ldmbench.metrics.manifold import BallCount
from ldmbench.metrics.neighbours import Neighbourhood
from ldmbench.seeds import derive_seed

__all__ = [
    "Influences",
    "centred_square",
    "coverage_influences",
    "density_influences",
    "kernel_influences",
    "logit_influences",
    "share_influences",
]

RANDOM_PAIRS = 2048  # random pairs behind an estimate of a second-order variance
ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Influences:
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


def kernel_influences(
    x: Array,
    y: Array,
    drawn: Subsets,
    sums: tuple[KernelSums, KernelSums, KernelSums],
    *,
    centre: Array | None,
) -> Influences:
    """Return influences on the kernel distance, from the row sums of the three kernel blocks.

    Args:
        x: (N, D) generated features.
        y: (M, D) the reference.
        drawn: the subsets.
        sums: of generated with generated, reference with reference, and one with the other.
        centre: of the reference, if it lies far from zero.
    """
    n, m = len(x), len(y)
    xx, yy, xy = sums
    gen = 2.0 * (xx.by_row / (n - 1) - xy.by_row / m)
    ref = 2.0 * (yy.by_row / (m - 1) - xy.by_col / n)
    if centre is not None:
        # The rows' sums leave out the sample itself, and with it what it adds to every entry.
        gen += 2.0 * far_part(x, centre) / (n - 1)
        ref += 2.0 * far_part(y, centre) / (m - 1)
    # A sample counts as often as it was drawn.
    gen = (gen - gen.mean()) * np.bincount(drawn.generated.ravel(), minlength=n)
    ref = (ref - ref.mean()) * np.bincount(drawn.reference.ravel(), minlength=m)
    gen *= n / drawn.generated.size
    ref *= m / drawn.reference.size
    shown, own = _kernel_second(x, y, drawn)
    return Influences(gen, ref, shown - own, own)


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
        square = centred_square(kernel, same=kernel is not blocks[2])
        share = within / pairs
        shown += 2.0 * weight * square / pairs
        own += weight * square * ((1.0 - share) / rounds + share) / within
    return shown, own


def centred_square(kernel: Array, *, same: bool) -> float:
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


def share_influences(balls: BallCount, hood: Neighbourhood, k: int) -> Influences:
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
    return Influences(
        inside - inside.mean(),
        -(owners - 1) * _centred(change) / points,
        (lost + won) / points**2,
    )


def density_influences(balls: BallCount, hood: Neighbourhood, k: int) -> Influences:
    """Return influences on the density, the owners' by the jackknife."""
    points, owners = len(balls.per_point), len(balls.per_ball)
    ring = np.bincount(balls.rings()[1], minlength=owners).astype(np.float64)
    change = -balls.per_ball.astype(np.float64)
    np.add.at(change, hood.index[:, :k].ravel(), np.repeat(ring, k))
    events = int(balls.per_ball.sum()) + k * int(ring.sum())
    return Influences(
        _centred(balls.per_point / k),
        -(owners - 1) * _centred(change) / (k * points),
        events / (k * points) ** 2,
    )


def coverage_influences(balls: BallCount, hood: Neighbourhood, k: int) -> Influences:
    """Return influences on the coverage, by the jackknife (see share_influences)."""
    points, owners = len(balls.per_point), len(balls.per_ball)
    hit = balls.per_ball > 0
    lost = np.zeros(points)
    np.add.at(lost, balls.guest[balls.per_ball == 1], -1.0)
    ring = np.bincount(balls.rings()[1], minlength=owners)
    gained = np.zeros(owners)
    grown = ~hit & (ring > 0)
    np.add.at(gained, hood.index[grown, :k].ravel(), 1.0)
    own = hit - hit.mean()
    return Influences(
        -(points - 1) * _centred(lost) / owners,
        own - (owners - 1) * _centred(gained) / owners,
        float(gained.sum() - lost.sum()) / owners**2,
    )


def logit_influences(logits: Array, splits: int) -> Influences:
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
    return Influences(score * (each - each.mean()), None, -missing)


def _logit_square(logits: Array) -> float:
    """Return the mean square of sum (p - q)(p' - q) / q over random pairs."""
    if len(logits) < 3:
        return 0.0
    rng = np.random.default_rng(derive_seed("second-order", len(logits)))
    marginal = np.zeros(logits.shape[1])
    for start in range(0, len(logits), ROWS_AT_ONCE):
        marginal += np.exp(log_softmax(logits[start : start + ROWS_AT_ONCE])).sum(axis=0)
    marginal = np.maximum(marginal / len(logits), 1e-300)
    i = rng.integers(0, len(logits), RANDOM_PAIRS)
    j = (i + rng.integers(1, len(logits), RANDOM_PAIRS)) % len(logits)
    p, q = (np.exp(log_softmax(logits[at])) - marginal for at in (i, j))
    return float(np.square(((p * q) / marginal).sum(axis=1)).mean())


def _centred(values: Array) -> Array:
    return np.asarray(values - values.mean())
