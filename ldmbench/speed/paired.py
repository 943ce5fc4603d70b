"""Paired times: what is measured stands between two yardsticks, again and again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from ldmbench.speed.timer import Timing, time_calls
from ldmbench.speed.yardstick import VERSION

__all__ = ["Paired", "interleave", "timing_of"]

Call = Callable[[], object]
PAUSE = 0.1
"""Seconds: the period in which processes on a shared processor are commonly held back."""


@dataclass(frozen=True)
class Paired:
    """Times of one call, and of the yardsticks just before and just after each.

    Attributes:
        timing: seconds of the call, in the order of the repeats.
        sticks: seconds of the yardstick around each: the geometric mean of the two.
    """

    timing: Timing
    sticks: Timing

    @property
    def ratios(self) -> tuple[float, ...]:
        """Times in yardsticks, one per repeat: what is common to both has cancelled."""
        pairs = zip(self.timing.seconds, self.sticks.seconds, strict=True)
        return tuple(own / stick for own, stick in pairs)

    def span(self) -> tuple[float, float]:
        """Return the 95 % interval of the median ratio, as shares of that median."""
        ratios = Timing(self.ratios)
        low, high = ratios.interval()
        return low / ratios.median, high / ratios.median


def interleave(
    calls: Mapping[str, Call],
    yardstick: Call,
    *,
    repeats: int,
    warmup: int = 1,
    device: str | torch.device = "cpu",
    report: Callable[[float], None] = lambda _: None,
) -> dict[str, Paired]:
    """Time yardstick, first call, yardstick, second call, yardstick; `repeats` times over.

    Each call stands between two yardsticks of the same moment, so that a machine that is slow, or
    busy for a while, slows both. A pause of random length, at most PAUSE, comes before each row:
    what disturbs a machine often does so in a rhythm, and rows that kept time with it would all
    meet it at the same place.

    Args:
        calls: what is timed, in this order within a repeat.
        yardstick: the fixed workload.
        repeats: of the whole row, 1 or more.
        warmup: untimed rows before them.
        device: where they compute.
        report: called with the share that is done.
    """

    def timed(call: Call) -> float:
        return time_calls(call, repeats=1, warmup=0, device=device).seconds[0]

    for call in (yardstick, *calls.values()) * warmup:
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    sticks: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats):
        time.sleep(random.uniform(0, PAUSE))
        before = timed(yardstick)
        for name, call in calls.items():
            seconds[name].append(timed(call))
            after = timed(yardstick)
            sticks[name].append(float(np.sqrt(before * after)))
            before = after
        report((repeat + 1) / repeats)
    return {
        name: Paired(Timing(tuple(seconds[name])), Timing(tuple(sticks[name]))) for name in calls
    }


def timing_of(times: Paired) -> dict[str, object]:
    """Return the ratios as a record has them; six digits are far below any noise."""
    ratios = [float(f"{ratio:.6g}") for ratio in times.ratios]
    return {"n": len(ratios), "ratios": ratios, "yardstick": VERSION}
