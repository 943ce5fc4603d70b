"""Learning rates as functions of the step."""

from __future__ import annotations

__all__ = ["linear_warmup"]


def linear_warmup(rate: float, step: int, *, warmup: int) -> float:
    """Return the learning rate of step `step` (from 0): a ramp over `warmup` steps, then `rate`."""
    return rate * min(1.0, (step + 1) / warmup) if warmup else rate
