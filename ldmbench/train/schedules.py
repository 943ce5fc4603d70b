"""Learning rates as functions of the step."""

from __future__ import annotations

import math

from ldmbench.schema.optimisation import RateSchedule

__all__ = ["falling", "linear_decay", "linear_warmup"]


def falling(rate: float, fraction: float, *, schedule: RateSchedule) -> float:
    """Return the learning rate once `fraction` of the budget is spent.

    A cosine is that of arXiv:1608.03983, equation 5, without restarts.

    Examples:
        >>> [falling(2.0, 0.5, schedule=s) for s in ("constant", "linear", "cosine")]
        [2.0, 1.0, 1.0]
    """
    match schedule:
        case "constant":
            return rate
        case "linear":
            return rate * (1 - fraction)
        case "cosine":
            return rate * (1 + math.cos(math.pi * fraction)) / 2


def linear_decay(rate: float, fraction: float, *, decay: float) -> float:
    """Return the learning rate once `fraction` of the budget is spent: `rate`, then a fall to 0.

    Args:
        rate: the rate before the fall.
        fraction: share of the budget that is spent, 0 to 1.
        decay: share of the budget that the fall takes, at its end; 0 for none.
    """
    return rate * min(1.0, (1 - fraction) / decay) if decay else rate


def linear_warmup(rate: float, step: int, *, warmup: int) -> float:
    """Return the learning rate of step `step` (from 0): a ramp over `warmup` steps, then `rate`."""
    return rate * min(1.0, (step + 1) / warmup) if warmup else rate
