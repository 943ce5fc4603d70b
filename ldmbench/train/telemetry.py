"""What a training shows of itself beside its loss: time by purpose, memory, and its FLOP/s.

All of it depends on the machine and the moment, so it belongs into cost.json and into no digest.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from ldmbench.tensors.device import wait_for
from ldmbench.tensors.numerics import autocast, tf32

__all__ = ["Stopwatch", "matrix_flops_per_second", "memory_in_use"]

PARTS = ("data", "network", "optimiser")
GPU_EVERY = 50
LONG, LARGEST = 0.004, 8192
"""Seconds that a product must take to be a measure, and the largest side."""


class Stopwatch:
    """Seconds of training steps, and of their parts: data, network, optimiser.

    On a CPU every step counts. A GPU works behind the program's back, so there one step of fifty
    waits for it between its parts, and the others are not slowed.

    Attributes:
        steps: number of steps that counted.
        seconds: by part, and of whole steps under "step".
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.steps = 0
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._on = False

    @contextmanager
    def step(self, n: int) -> Iterator[None]:
        """Time step `n`."""
        self._on = self.device.type != "cuda" or n % GPU_EVERY == GPU_EVERY - 1
        self.steps += self._on
        with self.part("step"):
            yield

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part of a step."""
        if not self._on:
            yield
            return
        began = self._now()
        yield
        self.seconds[name] += self._now() - began

    def shares(self) -> dict[str, float]:
        """Return the share of each part in the time of steps, and `other`; {} if none counted."""
        whole = self.seconds["step"]
        if not whole:
            return {}
        found = {name: self.seconds[name] / whole for name in PARTS}
        return found | {"other": max(0.0, 1 - sum(found.values()))}

    def _now(self) -> float:
        wait_for(str(self.device))
        return time.perf_counter()


def matrix_flops_per_second(precision: str, device: torch.device) -> float:
    """Return the FLOP/s of a product of square matrices: what a device does at its best.

    The side is doubled from 512 until a product takes four milliseconds; the best of three counts.

    Args:
        precision: float32, tf32 or bfloat16.
        device: where.
    """
    side, best = 512, 0.0
    with torch.no_grad(), tf32(precision), autocast(precision, device):
        while True:
            a = torch.full((side, side), 0.5, device=device)
            taken = min(_seconds_of(a) for _ in range(3))
            best = max(best, 2.0 * side**3 / taken)
            if taken >= LONG or side >= LARGEST:
                return best
            side *= 2


def _seconds_of(a: torch.Tensor) -> float:
    wait_for(str(a.device))
    began = time.perf_counter()
    torch.mm(a, a)
    wait_for(str(a.device))
    return time.perf_counter() - began


def memory_in_use(device: torch.device) -> int:
    """Return bytes: the most that tensors took on a GPU, or what this process takes now."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return int(psutil.Process().memory_info().rss)
