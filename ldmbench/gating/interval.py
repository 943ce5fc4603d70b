"""The arithmetic of a gate: a change against accepted runs, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ldmbench.records.number import Number, correlation, joint_error, own_variance, quantile

__all__ = ["BetweenRuns", "Change", "change", "pooled"]


@dataclass(frozen=True)
class BetweenRuns:
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


def change(
    new: Number,
    accepted: Sequence[Number],
    *,
    spread: BetweenRuns,
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
    rho, method = correlation(new.replicates, base.replicates)
    measured = spread.variance > noise * noise
    between = max(noise * noise, spread.variance) * (1 + 1 / runs)
    sides = []
    for one, other in ((new.down, base.up), (new.up, base.down)):
        variance = joint_error(one, other, rho) ** 2 + between
        freedom = math.inf
        if measured and variance > 0:
            share = spread.raw * (1 + 1 / runs) / variance
            freedom = max(spread.freedom, spread.freedom / share**2) if share > 0 else math.inf
        sides.append(math.sqrt(variance) * quantile(1 - alpha, freedom) + bias)
    value = new.value - mean
    source = f"{method}; {runs} accepted runs" if runs > 1 else method
    return Change(value, value - sides[0], value + sides[1], source)


def pooled(groups: Sequence[tuple[str, Sequence[Number]]]) -> BetweenRuns:
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
        return BetweenRuns()
    raw = squares / count
    return BetweenRuns(max(0.0, raw - within / count), raw, float(sum(freedom.values())))


def _own_variance(numbers: Sequence[Number]) -> float:
    """Return the variance that each run has for itself, beside what resampling shares."""
    stacks = [item.replicates for item in numbers if item.replicates is not None]
    if len(stacks) == len(numbers) and len({len(stack) for stack in stacks}) == 1:
        return own_variance(stacks)
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
