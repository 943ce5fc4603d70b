"""Timing a callable: warm-up, synchronisation, median and spread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

__all__ = ["Timing", "synchronize", "time_calls"]

CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Timing:
    """Wall times of repeated calls, seconds, in the order they were made."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return float(np.median(self.seconds))

    @property
    def p95(self) -> float:
        """The 95th percentile, interpolated; of few calls it is nearly the worst."""
        return float(np.percentile(self.seconds, 95))

    @property
    def spread(self) -> float:
        """The median absolute deviation from the median."""
        return float(np.median(np.abs(np.asarray(self.seconds) - self.median)))

    def interval(self) -> tuple[float, float]:
        """Return a 95 % bootstrap interval of the median (percentiles of seeded resamples)."""
        rng = np.random.default_rng(0)
        values = np.asarray(self.seconds)
        medians = np.median(rng.choice(values, (RESAMPLES, len(values))), axis=1)
        tail = 50 * (1 - CONFIDENCE)
        low, high = np.percentile(medians, [tail, 100 - tail])
        return float(low), float(high)


def time_calls(
    call: Callable[[], object],
    *,
    repeats: int,
    warmup: int = 1,
    device: str | torch.device = "cpu",
) -> Timing:
    """Call `call` warmup + repeats times and return the wall times of the repeats.

    The device is synchronised before and after each call, so queued work is neither counted twice
    nor missed.

    Args:
        call: what is timed.
        repeats: timed calls, 1 or more.
        warmup: untimed calls before them (compilation, caches, autotuning).
        device: where `call` computes.
    """
    for _ in range(warmup):
        call()
    seconds = []
    for _ in range(repeats):
        synchronize(device)
        began = time.perf_counter()
        call()
        synchronize(device)
        seconds.append(time.perf_counter() - began)
    return Timing(tuple(seconds))


def synchronize(device: str | torch.device) -> None:
    """Wait until the device has done all it was given; a CPU always has."""
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()
