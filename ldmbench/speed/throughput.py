"""Throughput and latency of a callable that makes images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ldmbench.speed.timer import Timing, time_calls

__all__ = ["Latency", "Throughput", "latency", "throughput"]


@dataclass(frozen=True)
class Throughput:
    """Images per second at a batch size: median over calls, with the interval of that median."""

    images_per_second: float
    low: float
    high: float
    batch: int
    timing: Timing


@dataclass(frozen=True)
class Latency:
    """Seconds until one image is there: median, its interval, and the 95th percentile."""

    median: float
    low: float
    high: float
    p95: float
    timing: Timing


def throughput(
    make: Callable[[int], object],
    *,
    batch: int,
    repeats: int,
    warmup: int = 1,
    device: str | torch.device = "cpu",
) -> Throughput:
    """Time make(batch), which samples and decodes `batch` images."""
    timing = time_calls(lambda: make(batch), repeats=repeats, warmup=warmup, device=device)
    low, high = timing.interval()
    return Throughput(batch / timing.median, batch / high, batch / low, batch, timing)


def latency(
    make: Callable[[int], object],
    *,
    repeats: int,
    warmup: int = 1,
    device: str | torch.device = "cpu",
) -> Latency:
    """Time make(1)."""
    timing = time_calls(lambda: make(1), repeats=repeats, warmup=warmup, device=device)
    low, high = timing.interval()
    return Latency(timing.median, low, high, timing.p95, timing)
