"""Spread: what a score varies by between trainings and between draws of samples, apart.

y[i, j] is the score of training i with sample seed j. Trainings and sample seeds are crossed random
effects: y[i, j] = mean + training[i] + seed[j] + residual[i, j]. Nothing here assumes that one
sample seed is independent between two trainings: they share noise and conditions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, fdtri

from ldmbench.records.number import Array, own_variance, quantile

__all__ = ["Bar", "Block", "Error", "Spread", "error_of", "spread_of"]

Stack = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Block:
    """One score over trainings and sample seeds, every combination once.

    Attributes:
        trainings: (A,) what tells the trainings apart.
        seeds: (B,) sample seeds.
        values: (A, B) float64.
        errors: (A, B) standard errors of the cells, of finite n and m; NaN where there is none.
        replicates: (A, B, R) of the cells, drawn with common seeds; None where one has none.
    """

    trainings: tuple[str, ...]
    seeds: tuple[str, ...]
    values: Stack
    errors: Stack
    replicates: Stack | None = None

    def minus(self, other: Block) -> Block:
        """Return the differences to a block of the same trainings and seeds."""
        both = self.replicates, other.replicates
        apart = None
        if both[0] is not None and both[1] is not None and both[0].shape == both[1].shape:
            apart = both[0] - both[1]
        errors = np.hypot(self.errors, other.errors)
        if apart is not None:
            errors = np.sqrt(apart.var(axis=2, ddof=1) + self.unmoved + other.unmoved)
        values = self.values - other.values
        return replace(self, values=values, errors=errors, replicates=apart)

    def part(self, trainings: Sequence[str], seeds: Sequence[str]) -> Block:
        """Return the block of some trainings and seeds, in their order."""
        rows = [self.trainings.index(name) for name in trainings]
        columns = [self.seeds.index(name) for name in seeds]
        place = np.ix_(rows, columns)
        drawn = None if self.replicates is None else self.replicates[place]
        chosen = self.values[place], self.errors[place]
        return Block(tuple(trainings), tuple(seeds), *chosen, drawn)

    @cached_property
    def unmoved(self) -> Stack:
        """Variance of each cell's interval that its replicates lack, (A, B).

        Replicates of a share at 0 or 1 do not move, but its interval has a width.
        """
        squares: Stack = np.nan_to_num(self.errors) ** 2
        if self.replicates is None:
            return np.zeros_like(squares)
        moved = self.replicates.var(axis=2, ddof=1)
        return np.asarray(np.where(moved < squares / 4, squares - moved, 0.0), dtype=np.float64)

    @cached_property
    def mean(self) -> float:
        """Mean of all values."""
        return float(self.values.mean())

    @property
    def between_trainings(self) -> float:
        """Observed variance of the means of trainings (ddof 1); NaN of one training."""
        return _variance(self.values.mean(axis=1))

    @property
    def between_seeds(self) -> float:
        """Observed variance of the means of sample seeds (ddof 1); NaN of one seed."""
        return _variance(self.values.mean(axis=0))

    @property
    def residual(self) -> float:
        """Mean square of what neither training nor seed explains; NaN of one row or column."""
        a, b = self.values.shape
        if a < 2 or b < 2:
            return math.nan
        rows, columns = self.values.mean(axis=1), self.values.mean(axis=0)
        left: Array = self.values - rows[:, None] - columns[None, :] + self.mean
        return float(np.sum(np.square(left))) / float((a - 1) * (b - 1))

    @property
    def own_sampling(self) -> float:
        """Sampling variance of a training's mean that other trainings do not share.

        From replicates; else the residual over sample seeds; else from the intervals.
        """
        a, b = self.values.shape
        if a < 2:
            return math.nan
        if self.replicates is not None:
            own = own_variance(list(self.replicates.mean(axis=1)))
            return own + float(np.mean(self.unmoved)) / float(b)
        return self.residual / b if b > 1 else float(np.mean(np.square(self.errors)))

    @property
    def own_freedom(self) -> float:
        """Degrees of freedom behind `own_sampling`."""
        a, b = self.values.shape
        return math.inf if self.replicates is not None or b < 2 else float((a - 1) * (b - 1))

    @property
    def of_images(self) -> float:
        """Sampling variance of the mean (finite n and m); NaN without intervals.

        From replicates; else the errors of all cells count as shared.
        """
        if self.replicates is not None:
            still = float(self.unmoved.mean()) / self.values.size
            return _variance(self.replicates.mean(axis=(0, 1))) + still
        return float(self.errors.mean()) ** 2

    @property
    def of_a_draw(self) -> float:
        """Variance between sample seeds of one training (ddof 1); NaN of one seed."""
        return float(self.values.var(axis=1, ddof=1).mean()) if len(self.seeds) > 1 else math.nan

    @property
    def of_a_cell(self) -> float:
        """Sampling variance of one cell as its own interval has it; NaN without."""
        if self.replicates is not None:
            return float((self.replicates.var(axis=2, ddof=1) + self.unmoved).mean())
        return float((self.errors**2).mean())


@dataclass(frozen=True)
class Error:
    """The variances of a mean: one that trainings have each for itself, one that they share.

    Attributes:
        between: variance of the mean by trainings, and what sampling each has for itself.
        freedom: degrees of freedom behind it.
        shared: sampling variance that is the same for all trainings.
        shared_freedom: degrees of freedom behind it.
    """

    between: float
    freedom: float
    shared: float = 0.0
    shared_freedom: float = math.inf

    def half(self, level: float) -> float:
        """Return half the width of the interval: Student's t for each variance, joined by MOVER."""
        parts = (self.between, self.freedom), (self.shared, self.shared_freedom)
        p = 0.5 + level / 2
        return math.hypot(*(quantile(p, n) * math.sqrt(v) for v, n in parts if v > 0))

    def p_value(self, gap: float) -> float:
        """Return the two-sided p-value of "no difference": its interval at 1 - p ends at 0."""
        if gap == 0 or self.between + self.shared == 0:
            return 1.0 if gap == 0 else 0.0
        small, large = -40.0, 0.0  # of log10 p
        for _ in range(60):
            middle = (small + large) / 2
            wide = self.half(1 - 10**middle) if middle > -15 else math.inf
            small, large = (middle, large) if wide > abs(gap) else (small, middle)
        return float(10**large)


def error_of(blocks: Sequence[Block], sampling: float, freedom: float = math.inf) -> Error:
    """Return the error of a mean, or of a difference of means, over trainings and samples.

    Between trainings it is s^2 / A for each block, with Satterthwaite's degrees of freedom (1946):
    of two blocks Welch's. What trainings share of the sampling variance is added, and so much that
    the error is not below that of sampling.

    Args:
        blocks: one, of values or of paired differences; or two whose trainings are others.
        sampling: sampling variance of the mean or difference: see `of_images`.
        freedom: degrees of freedom behind `sampling`.
    """
    parts = [(b.between_trainings / len(b.trainings), len(b.trainings) - 1) for b in blocks]
    own = sum(block.own_sampling / len(block.trainings) for block in blocks)
    between = sum(part for part, _ in parts)
    squares = sum(part * part / n for part, n in parts)
    known = between**2 / squares if squares else float(parts[0][1])
    return Error(between, known, max(0.0, sampling - min(own, between)), freedom)


@dataclass(frozen=True)
class Bar:
    """A number with its interval, or why there is none.

    Attributes:
        value: of a component its standard deviation, of an interval of the mean its half-width.
        low: lower end.
        high: upper end.
        freedom: degrees of freedom; None where they are infinite.
        reason: why there is no value.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    freedom: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Spread:
    """The mean of one score over trainings and sample seeds, with its errors apart.

    Attributes:
        trainings: how many.
        seeds: how many sample seeds of each.
        mean: over all cells.
        images: interval of the mean for these trainings and seeds: finite n and m.
        sampling: over sample seeds, for these trainings.
        training: over training seeds, for these sample seeds.
        both: over training seeds and samples.
        sd_training: standard deviation between trainings beyond sampling.
        sd_sampling: standard deviation of one cell by sampling.
        share: of the variance of one cell, what training makes; None where one is unknown.
    """

    trainings: int
    seeds: int
    mean: float
    images: Bar
    sampling: Bar
    training: Bar
    both: Bar
    sd_training: Bar
    sd_sampling: Bar
    share: float | None


TRAININGS = "needs at least 2 training seeds"
SEEDS = "needs at least 2 sample seeds"
INTERVALS = "needs an interval of every cell"
EITHER = f"{SEEDS}, or an interval of every cell"


def spread_of(block: Block, *, level: float = 0.95) -> Spread:
    """Return the mean of a block with its errors apart.

    Args:
        block: one score over trainings and sample seeds.
        level: confidence of the intervals.
    """
    trainings, seeds = block.values.shape
    return Spread(
        trainings=trainings,
        seeds=seeds,
        mean=block.mean,
        images=_bar(block, block.of_images, math.inf, level, INTERVALS),
        sampling=_bar(block, block.between_seeds / seeds, seeds - 1, level, SEEDS),
        training=_bar(block, block.between_trainings / trainings, trainings - 1, level, TRAININGS),
        both=_both(block, level),
        sd_training=_of_training(block, level),
        sd_sampling=_of_sampling(block),
        share=_share(block),
    )


def _sampling(block: Block) -> tuple[float, float]:
    """Return the sampling variance of the mean and its degrees of freedom.

    It is that of the images; without replicates that between sample seeds.
    """
    if block.replicates is None and len(block.seeds) > 1:
        return block.between_seeds / len(block.seeds), float(len(block.seeds) - 1)
    return block.of_images, math.inf


def _bar(block: Block, variance: float, freedom: float, level: float, reason: str) -> Bar:
    if math.isnan(variance):
        return Bar(reason=reason)
    return _around(block, Error(variance, freedom), level)


def _around(block: Block, error: Error, level: float) -> Bar:
    half = error.half(level)
    finite = None if math.isinf(error.freedom) else error.freedom
    return Bar(half, block.mean - half, block.mean + half, finite)


def _both(block: Block, level: float) -> Bar:
    if len(block.trainings) < 2:
        return Bar(reason=TRAININGS)
    sampling, freedom = _sampling(block)
    if math.isnan(sampling):
        return Bar(reason=EITHER)
    return _around(block, error_of([block], sampling, freedom), level)


def _of_training(block: Block, level: float) -> Bar:
    """Return the standard deviation between trainings and its interval.

    The observed variance less what sampling alone makes of it. The ends are those of the F-test of
    a one-way layout; where the sampling variance is of replicates or intervals, it counts as known.
    """
    observed, own, freedom = block.between_trainings, block.own_sampling, len(block.trainings) - 1
    if math.isnan(observed):
        return Bar(reason=TRAININGS)
    if math.isnan(own):
        return Bar(reason=EITHER)
    ends = [
        observed / _f_quantile(p, freedom, block.own_freedom)
        for p in ((1 + level) / 2, (1 - level) / 2)
    ]
    value, low, high = (math.sqrt(max(0.0, part - own)) for part in (observed, *ends))
    return Bar(value, low, high, float(freedom))


def _of_sampling(block: Block) -> Bar:
    """Return the standard deviation of a cell by sampling: over seeds, else of its interval."""
    if len(block.seeds) > 1:
        freedom = float(len(block.seeds) - 1)
        return Bar(math.sqrt(block.of_a_draw), freedom=freedom)
    if math.isnan(block.of_a_cell):
        return Bar(reason=EITHER)
    return Bar(math.sqrt(block.of_a_cell))


def _share(block: Block) -> float | None:
    training, sampling = _of_training(block, 0.95).value, _of_sampling(block).value
    if training is None or sampling is None or training + sampling == 0:
        return None
    return training**2 / (training**2 + sampling**2)


def _f_quantile(p: float, first: float, second: float) -> float:
    """Return a quantile of F; `second` may be infinite."""
    if math.isinf(second):
        return float(chdtri(first, 1 - p)) / first
    return float(fdtri(first, second, p))


def _variance(values: Array) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else math.nan
