"""The arithmetic of a gate: a change against accepted runs, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

__all__ = ["Change", "Number", "Spread", "change", "number", "pooled", "quantile"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Number:
    """A value on the scale of its rule, and its standard errors below and above.

    Attributes:
        value: the value; for ratios the logarithm of it.
        down: standard error towards smaller values.
        up: standard error towards larger values.
        replicates: (R,) values under resampling common to all runs; None where there are none.
    """

    value: float
    down: float
    up: float
    replicates: Array | None = None


@dataclass(frozen=True)
class Spread:
    """How much runs vary beyond their intervals: a variance, and what it was measured on.

    Attributes:
        variance: between runs; 0 where nothing was measured.
        raw: the observed variance, sampling noise included.
        freedom: degrees of freedom behind it.
    """

    variance: float = 0.0
    raw: float = 0.0
    freedom: float = 0.0


@dataclass(frozen=True)
class Change:
    """New minus accepted, on the scale of the rule, with an interval."""

    value: float
    low: float
    high: float
    method: str


def number(
    value: float,
    low: float | None,
    high: float | None,
    *,
    confidence: float | None = None,
    replicates: Array | None = None,
) -> Number:
    """Return a number from its interval; where the replicates spread wider, they count."""
    z = NormalDist().inv_cdf(0.5 + (confidence or 0.95) / 2)
    spread = 0.0 if replicates is None or len(replicates) < 2 else float(replicates.std(ddof=1))
    down = 0.0 if low is None else max(0.0, value - low) / z
    up = 0.0 if high is None else max(0.0, high - value) / z
    return Number(value, max(down, spread), max(up, spread), replicates)


def change(
    new: Number,
    accepted: Sequence[Number],
    *,
    spread: Spread,
    noise: float = 0.0,
    bias: float = 0.0,
    apart: bool = False,
    alpha: float,
) -> Change:
    """Return how far a new value is from the mean of accepted ones.

    Errors are joined without assuming symmetry (MOVER: Zou, Donner 2008, equation 7), with the
    correlation that common resampling shows. The variance between runs is the declared or the
    measured one, whichever is larger, for the new run and for the mean of the accepted ones; what
    was measured on few runs widens the interval by Student's t (Satterthwaite 1946).

    Args:
        new: the run that is judged.
        accepted: one or more accepted runs.
        spread: between accepted runs.
        noise: declared standard deviation between runs.
        bias: half-width of what no amount of repeating would show.
        apart: the accepted runs' own errors have nothing in common, as those of timings; else they
            are taken as wholly shared, as those of scores on one reference.
        alpha: chance that the change lies below `low`, and likewise above `high`.
    """
    runs = len(accepted)
    mean = sum(item.value for item in accepted) / runs
    base = _mean(accepted, apart=apart)
    rho, method = _correlation(new.replicates, base.replicates)
    measured = spread.variance > noise * noise
    between = max(noise * noise, spread.variance) * (1 + 1 / runs)
    sides = []
    for one, other in ((new.down, base.up), (new.up, base.down)):
        variance = max(0.0, one * one + other * other - 2 * rho * one * other) + between
        freedom = math.inf
        if measured and variance > 0:
            share = spread.raw * (1 + 1 / runs) / variance
            freedom = max(spread.freedom, spread.freedom / share**2) if share > 0 else math.inf
        sides.append(math.sqrt(variance) * quantile(1 - alpha, freedom) + bias)
    value = new.value - mean
    told = f"{method}; {runs} accepted runs" if runs > 1 else method
    return Change(value, value - sides[0], value + sides[1], told)


def pooled(groups: Sequence[tuple[str, Sequence[Number]]]) -> Spread:
    """Return the variance between accepted runs of one measure, pooled over its cells.

    What resampling alone explains is taken off. Cells of one group (a model on a dataset) stand on
    the same trainings, so they add no degrees of freedom.

    Args:
        groups: (group, its accepted numbers) per cell, on one scale.
    """
    squares, within, count = 0.0, 0.0, 0
    freedom: dict[str, int] = {}
    for group, numbers in groups:
        if len(numbers) < 2:
            continue
        values = np.array([item.value for item in numbers])
        squares += float(((values - values.mean()) ** 2).sum())
        within += _own_variance(numbers) * (len(numbers) - 1)
        count += len(numbers) - 1
        freedom[group] = max(freedom.get(group, 0), len(numbers) - 1)
    if not count:
        return Spread()
    raw = squares / count
    return Spread(max(0.0, raw - within / count), raw, float(sum(freedom.values())))


def _own_variance(numbers: Sequence[Number]) -> float:
    """Return the variance that each run has for itself, beside what resampling shares."""
    stacks = [item.replicates for item in numbers if item.replicates is not None]
    if len(stacks) == len(numbers) and len({len(stack) for stack in stacks}) == 1:
        centred = np.stack([stack - stack.mean() for stack in stacks])
        return float(centred.var(axis=0, ddof=1).mean())
    return sum(((item.down + item.up) / 2) ** 2 for item in numbers) / len(numbers)


def _mean(numbers: Sequence[Number], *, apart: bool) -> Number:
    """Return the mean of accepted runs, with errors that are shared or fall with their number."""
    runs = len(numbers)
    part = math.sqrt(runs) if apart else 1.0
    stacks = [item.replicates for item in numbers if item.replicates is not None]
    alike = len(stacks) == runs and len({len(stack) for stack in stacks}) == 1
    replicates = np.mean(stacks, axis=0) if alike else None
    return Number(
        sum(item.value for item in numbers) / runs,
        sum(item.down for item in numbers) / runs / part,
        sum(item.up for item in numbers) / runs / part,
        replicates,
    )


def _correlation(a: Array | None, b: Array | None) -> tuple[float, str]:
    if a is None or b is None or len(a) != len(b):
        return 0.0, "unpaired intervals"
    first, second = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(first @ first) * float(second @ second))
    if scale == 0:
        return 0.0, "unpaired intervals: the replicates of one side do not move"
    rho = min(1.0, max(-1.0, float(first @ second) / scale))
    return rho, f"paired, {len(a)} replicates, correlation {rho:.2f}"


def quantile(p: float, freedom: float = math.inf) -> float:
    """Return a quantile of Student's t.

    Args:
        p: probability, in (0, 1).
        freedom: degrees of freedom, above 0, whole or not; infinite for the normal distribution.
    """
    return float(ndtri(p) if math.isinf(freedom) else stdtrit(freedom, p))
