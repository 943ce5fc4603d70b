"""A measured number with its errors, and the error of a difference of two: one rule for all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from ldmbench.schema.record import Score

__all__ = [
    "Array",
    "Number",
    "Replicas",
    "correlation",
    "joint_error",
    "number",
    "own_variance",
    "quantile",
]

Array = npt.NDArray[np.float64]
Replicas = Callable[[Score], Array | None]
"""Score -> its replicates, or None where there are none."""


@dataclass(frozen=True, eq=False)
class Number:
    """A value and its standard errors below and above.

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


def number(
    value: float,
    low: float | None,
    high: float | None,
    *,
    confidence: float | None = None,
    replicates: Array | None = None,
) -> Number:
    """Return a number from its interval.

    The ends of an interval may have been cut where the value cannot go: where the replicates
    spread wider (ddof 1), their standard deviation counts.
    """
    z = NormalDist().inv_cdf(0.5 + (confidence or 0.95) / 2)
    spread = 0.0 if replicates is None or len(replicates) < 2 else float(replicates.std(ddof=1))
    down = 0.0 if low is None else max(0.0, value - low) / z
    up = 0.0 if high is None else max(0.0, high - value) / z
    return Number(value, max(down, spread), max(up, spread), replicates)


def joint_error(one: float, other: float, rho: float) -> float:
    """Return the standard error of a difference (MOVER: Zou, Donner 2008, equation 7)."""
    return math.sqrt(max(0.0, one * one + other * other - 2 * rho * one * other))


def correlation(a: Array | None, b: Array | None) -> tuple[float, str]:
    """Return how two numbers move together under common resampling, and how that was found."""
    if a is None or b is None:
        return 0.0, "unpaired: from the intervals, because replicates are missing"
    if len(a) != len(b):
        return 0.0, f"unpaired: {len(a)} and {len(b)} replicates"
    first, second = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(first @ first) * float(second @ second))
    if scale == 0:
        return 0.0, "unpaired: the replicates of one side do not move"
    rho = min(1.0, max(-1.0, float(first @ second) / scale))
    return rho, f"paired, {len(a)} replicates, correlation {rho:.2f}"


def own_variance(stacks: Sequence[Array]) -> float:
    """Return the sampling variance that each of several numbers has for itself (ddof 1).

    What common resampling moves in all of them is left out.

    Args:
        stacks: replicates of each, all of one length.
    """
    centred = np.stack([stack - stack.mean() for stack in stacks])
    return float(centred.var(axis=0, ddof=1).mean())


def quantile(p: float, freedom: float = math.inf) -> float:
    """Return a quantile of Student's t.

    Args:
        p: probability, in (0, 1).
        freedom: degrees of freedom, above 0, whole or not; infinite for the normal distribution.
    """
    return float(ndtri(p) if math.isinf(freedom) else stdtrit(freedom, p))
