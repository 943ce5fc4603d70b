"""Steps: where a noisy series changes its level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["Step", "exact_steps", "first_of_each", "noise_of", "spark", "steps"]

Array = npt.NDArray[np.float64]
LEAST = 2
"""Points that a level needs: a single odd run is no step."""
Z99 = 2.575829
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Step:
    """A change of level.

    Attributes:
        at: index of the first point on the new level.
        before: mean of the level before.
        after: mean of the level from there on.
    """

    at: int
    before: float
    after: float


def noise_of(values: Sequence[float], *, least: float = 0.0) -> float:
    """Return the standard deviation of one point about its level.

    From the median absolute difference of neighbours, which steps hardly move (von Neumann 1941 for
    differences; 1.4826 makes a median deviation a standard deviation).

    Args:
        values: the series.
        least: the standard error that the points are known to have.
    """
    if len(values) < 3:
        return least
    gaps = np.abs(np.diff(np.asarray(values, dtype=np.float64)))
    few = 1 + 2 / len(values)  # the median of a few gaps is often too small
    return max(least, float(few * 1.4826 * np.median(gaps) / math.sqrt(2)))


def steps(values: Sequence[float], *, noise: float) -> list[Step]:
    """Return the changes of level in a noisy series, first to last.

    A step costs 3 log n with at least 16, so that a run of pure noise seldom pays it. Single odd
    points are taken out first by running medians of three, which leave edges where they are (Tukey
    1977, section 7A, with his rule for the ends).

    Args:
        values: finite numbers in the order of the runs.
        noise: standard deviation of one point about its level; 0 makes every change a step.
    """
    if len(values) < 2 * LEAST:
        return []
    x = _medians(_scaled(values, noise))
    return _partition(values, x, least=LEAST, price=max(16.0, 3 * math.log(len(x))))


def exact_steps(values: Sequence[float], *, noise: float) -> list[Step]:
    """Return the changes of level in numbers that come again to the digit while nothing changes.

    A number that comes again is the same artefact and knows no more than one: it counts once, and
    one run makes a level. Two artefacts differ when their means are further apart than noise
    explains with 99 % confidence; of many artefacts, a step costs 3 log n.

    Args:
        values: finite numbers in the order of the runs.
        noise: standard error of one artefact's number; 0 makes every change a step.
    """
    firsts = first_of_each(values)
    if len(firsts) < 2:
        return []
    apart = [values[at] for at in firsts]
    price = max(Z99 * Z99, 3 * math.log(len(apart)))
    found = _partition(apart, _scaled(apart, noise), least=1, price=price)
    return [Step(firsts[step.at], step.before, step.after) for step in found]


def first_of_each(values: Sequence[float]) -> list[int]:
    """Return the index of every number that is not the one before it."""
    return [at for at, value in enumerate(values) if at == 0 or value != values[at - 1]]


def _scaled(values: Sequence[float], noise: float) -> Array:
    """Return values in units of their noise, from the first one on."""
    x = np.asarray(values, dtype=np.float64)
    return np.asarray((x - x[0]) / max(noise, 1e-9 * float(np.abs(x).max()), 1e-300))


def _partition(values: Sequence[float], x: Array, *, least: int, price: float) -> list[Step]:
    """Return the changes of level that minimise the sum of squares plus a price per step.

    Optimal partitioning (Jackson et al. 2005, IEEE Signal Processing Letters 12, 105-108).

    Args:
        values: whose means the steps have.
        x: (n,) the same in units of their noise.
        least: points that a level needs.
        price: of one step.
    """
    n = len(x)
    sums, squares = (np.concatenate([[0.0], np.cumsum(part)]) for part in (x, x * x))
    best, last = np.full(n + 1, np.inf), np.zeros(n + 1, dtype=int)
    best[0] = -price
    for end in range(least, n + 1):
        starts = np.arange(0, end - least + 1)
        length = end - starts
        inside = squares[end] - squares[starts] - (sums[end] - sums[starts]) ** 2 / length
        total = best[starts] + np.maximum(inside, 0.0) + price
        last[end] = int(np.argmin(total))
        best[end] = total[last[end]]
    edges = [n]
    while edges[-1] > 0:
        edges.append(int(last[edges[-1]]))
    edges.reverse()
    means = [float(np.mean(values[a:b])) for a, b in pairwise(edges)]
    return [Step(at, *pair) for at, pair in zip(edges[1:-1], pairwise(means), strict=True)]


def _medians(x: Array) -> Array:
    """Return running medians of three."""
    y = x.copy()
    y[1:-1] = np.median(np.stack([x[:-2], x[1:-1], x[2:]]), axis=0)
    y[0] = np.median([x[0], y[1], 3 * y[1] - 2 * y[2]])
    y[-1] = np.median([x[-1], y[-2], 3 * y[-2] - 2 * y[-3]])
    return y


def spark(values: Sequence[float | None], *, width: int = 40) -> str:
    """Return a series as bars, the newest at the right; what is missing is a space."""
    shown = list(values)[-width:]
    there = [value for value in shown if value is not None]
    if not there:
        return ""
    low, span = min(there), max(there) - min(there)
    flat = span <= 1e-12 * max(abs(value) for value in there)
    bars = [
        " " if v is None else _BARS[3] if flat else _BARS[min(7, int(8 * (v - low) / span))]
        for v in shown
    ]
    return "".join(bars)
