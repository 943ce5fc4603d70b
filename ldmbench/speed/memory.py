"""Peak memory of a callable.

On CUDA it is what torch's allocator held at most, weights included (max_memory_allocated). On a
CPU there is no such counter: it is the highest resident size of the process while the callable
runs, sampled every few milliseconds, minus the resident size before it began. Memory that the
process already holds free is reused without growing, so a CPU's number is a lower bound, and it
excludes the weights, which are there before.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import psutil
import torch

__all__ = ["PeakMemory", "peak_memory"]

SAMPLE_SECONDS = 0.002


@dataclass(frozen=True)
class PeakMemory:
    """Bytes at the peak, and how they were read."""

    bytes: int
    method: Literal["cuda_max_allocated", "rss_growth"]


def peak_memory(call: Callable[[], object], *, device: str | torch.device = "cpu") -> PeakMemory:
    """Call `call` once and return the peak of its memory."""
    place = torch.device(device)
    gc.collect()
    if place.type == "cuda":
        return _on_cuda(call, place)
    return _on_cpu(call)


def _on_cuda(call: Callable[[], object], device: torch.device) -> PeakMemory:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    torch.cuda.synchronize(device)
    return PeakMemory(torch.cuda.max_memory_allocated(device), "cuda_max_allocated")


def _on_cpu(call: Callable[[], object]) -> PeakMemory:
    process, done = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(SAMPLE_SECONDS):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        call()
    finally:
        peak = max(peak, process.memory_info().rss)
        done.set()
        watcher.join()
    return PeakMemory(max(0, max(peak, process.memory_info().rss) - before), "rss_growth")
