"""How long a run still takes, from the plan's costs and the pace of what has run so far."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ldmbench.plan.estimate import RATES, Cost, stage_cost
from ldmbench.schema.stage import Plan
from ldmbench.store.units import Unit, units_of

ENOUGH = 1.0
"""Seconds of work from which a pace is known."""


@dataclass
class _Pace:
    """Seconds of work, and what the plan expected of that work."""

    seconds: float = 0.0
    expected: float = 0.0

    def add(self, seconds: float, expected: float) -> None:
        self.seconds, self.expected = self.seconds + seconds, self.expected + expected

    def ratio(self) -> float | None:
        """Return the seconds per expected second; None when they are too few."""
        return self.seconds / self.expected if self.seconds > ENOUGH and self.expected else None


@dataclass
class _Left:
    """The work of a kind of stage that is not done."""

    units: int = 0
    seconds: float = 0.0
    flops: float = 0.0

    def add(self, cost: Cost, times: float) -> None:
        self.seconds += cost.seconds * times
        self.flops += cost.flops * times

    def takes(self, pace: float | None, rate: float) -> float:
        """Return the seconds of this work, at its own pace or that of the FLOPs of all kinds."""
        if pace is None:
            return self.seconds + self.flops / RATES["cpu"] * rate
        return (self.seconds + self.flops / RATES["cpu"]) * pace


@dataclass
class _Running:
    """A unit since its task's first report: what came before is the start of a worker."""

    units: int
    began: float
    first: float
    at: float
    fraction: float

    def seconds(self) -> float:
        """Return its share of the task's time."""
        return (self.at - self.began) / self.units


class Remaining:
    """The units that are to run, and how far each is.

    A kind of stage that has run, or runs, has its own pace; the FLOPs of others take as long as
    those of all kinds together.

    Args:
        plan: whose costs weigh units against each other; unset: all weigh the same.
    """

    def __init__(self, plan: Plan | None) -> None:
        self._stages = plan.by_key() if plan else {}
        self._costs: dict[Unit, Cost] = {}
        self._left: dict[str, _Left] = defaultdict(_Left)
        self._running: dict[Unit, _Running] = {}
        self._done: dict[str, _Pace] = defaultdict(_Pace)
        self._done_flops = _Pace()
        self._began: float | None = None

    def planned(self, units: Sequence[Unit]) -> None:
        """Remember what is to run, instead of what was."""
        self._costs.clear()
        self._left.clear()
        of_stage: dict[str, Cost] = {}
        for unit in units:
            key = unit.stage.key
            if key not in of_stage:
                of_stage[key] = self._unit_cost(unit)
            self._costs[unit] = of_stage[key]
            left = self._left[unit.stage.kind]
            left.units += 1
            left.add(of_stage[key], 1)

    def progressed(self, units: Sequence[Unit], fraction: float) -> None:
        """Move the units of one task."""
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        for unit in units:
            running = _Running(len(units), now, fraction, now, fraction)
            running = self._running.setdefault(unit, running)
            running.at, running.fraction = now, fraction

    def began_again(self, unit: Unit) -> None:
        """Forget how far a unit was."""
        self._running.pop(unit, None)

    def finished(self, unit: Unit, seconds: float | None) -> None:
        """Count a unit as done.

        Args:
            unit: the unit.
            seconds: it took; None when it failed or another run made it.
        """
        self.began_again(unit)
        cost = self._costs.pop(unit, None)
        if cost is None:
            return
        left = self._left[unit.stage.kind]
        left.units -= 1
        left.add(cost, -1)
        if seconds is None:
            return
        if self._began is None:
            self._began = time.monotonic() - seconds
        self._done[unit.stage.kind].add(seconds, _expected(cost))
        if cost.flops:
            self._done_flops.add(seconds, _expected(cost))

    def seconds(self) -> float | None:
        """Return how long the rest takes; None where nothing shows a pace yet."""
        paces, flops = self._paces()
        busy = sum(pace.seconds for pace in paces.values())
        if self._began is None or busy <= ENOUGH:
            return None
        side_by_side = max(1.0, busy / max(time.monotonic() - self._began, ENOUGH))
        rate = flops.ratio() or 1.0
        left = {kind: replace(work) for kind, work in self._left.items() if work.units}
        for unit, running in self._running.items():
            if unit in self._costs:
                left[unit.stage.kind].add(self._costs[unit], -running.fraction)
        pace = {kind: found.ratio() for kind, found in paces.items()}
        whole = sum(work.takes(pace.get(kind), rate) for kind, work in left.items())
        return max(0.0, whole) / side_by_side

    def share(self) -> float:
        """Return the share of all work that is done, 0 to 1, by time."""
        left = self.seconds()
        if left is None or self._began is None:
            return 0.0 if self._costs else 1.0
        spent = time.monotonic() - self._began
        return spent / (spent + left) if spent + left else 1.0

    def _paces(self) -> tuple[dict[str, _Pace], _Pace]:
        """Return the pace of each kind, and of all that has FLOPs: what is done and what runs."""
        paces = {kind: _Pace(pace.seconds, pace.expected) for kind, pace in self._done.items()}
        flops = _Pace(self._done_flops.seconds, self._done_flops.expected)
        for unit, running in self._running.items():
            cost = self._costs.get(unit)
            if cost is None:
                continue
            taken = running.seconds()
            expected = _expected(cost) * (running.fraction - running.first)
            paces.setdefault(unit.stage.kind, _Pace()).add(taken, expected)
            if cost.flops:
                flops.add(taken, expected)
        return paces, flops

    def _unit_cost(self, unit: Unit) -> Cost:
        if not self._stages:
            return Cost(seconds=1.0)
        parts = len(units_of(unit.stage)) if unit.shard else 1
        return stage_cost(unit.stage, self._stages).times(1 / max(1, parts))


def _expected(cost: Cost) -> float:
    """Return the seconds that the plan expects on some processor."""
    return cost.seconds + cost.flops / RATES["cpu"]
