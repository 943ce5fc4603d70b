"""Ready: hands out units whose inputs are there; which first decides how long a run takes."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Mapping, Sequence

from ldmbench.plan.estimate import rough_seconds
from ldmbench.schema.base import Kind
from ldmbench.schema.stage import Stage
from ldmbench.store.states import in_turn
from ldmbench.store.units import Unit, inputs_of, units_of

__all__ = ["Ready"]


class Ready:
    """Hands out units whose inputs are there; shared by all runners' threads.

    With one runner that is plan order, but for what comes last; with several, a long training must
    not be last to begin.

    Args:
        todo: units to run, in plan order.
        stages: key -> stage of the whole plan.
        stop: once set, nothing more is handed out.
        alone: kinds that come last, one at a time, when nothing else is running or ready.
        longest_first: what the longest chain of work waits for comes first; else in plan order.
        wide: tells units that take all devices: nothing runs beside one.
    """

    def __init__(
        self,
        todo: Sequence[Unit],
        stages: Mapping[str, Stage],
        stop: threading.Event,
        *,
        alone: frozenset[Kind] = frozenset(),
        longest_first: bool = False,
        wide: Callable[[Unit], bool] = lambda _: False,
    ) -> None:
        self._stop, self._alone = stop, alone
        self._changed = threading.Condition()
        self._waits: dict[Unit, set[Unit]] = {}
        self._dependents: dict[Unit, list[Unit]] = {}
        wanted = set(todo)
        for unit in todo:
            inputs = inputs_of(unit, stages)
            waits = {part for _, _, parts in inputs for part in parts if part in wanted}
            self._waits[unit] = waits
            for part in waits:
                self._dependents.setdefault(part, []).append(unit)
        self._behind = self._in_turn(todo)
        ways = self._ways(todo, stages) if longest_first else {}
        # What must run alone comes last: it waits for nothing else then, and nothing for it.
        self._units = sorted(todo, key=lambda u: (u.stage.kind in alone, -ways.get(u, 0.0)))
        self._place = {unit: number for number, unit in enumerate(self._units)}
        self._ready = [self._place[unit] for unit, waits in self._waits.items() if not waits]
        heapq.heapify(self._ready)
        self._running, self._wide, self._wide_runs = 0, wide, False

    def _in_turn(self, todo: Sequence[Unit]) -> dict[Unit, list[Unit]]:
        """Let longer trainings wait for shorter ones that keep their state; return who waits."""
        units = {unit.stage.key: unit for unit in todo if unit.stage.local.keep_state}
        behind: dict[Unit, list[Unit]] = {}
        for longer, shorter in in_turn(unit.stage for unit in units.values()).items():
            self._waits[units[longer]].add(units[shorter])
            behind.setdefault(units[shorter], []).append(units[longer])
        return behind

    def _ways(self, todo: Sequence[Unit], stages: Mapping[str, Stage]) -> dict[Unit, float]:
        """Return about how long it is from each unit's start to the end of all that needs it."""
        keys = {unit.stage.key: unit.stage for unit in todo}
        seconds = {
            key: rough_seconds(stage, stages) / max(1, len(units_of(stage)))
            for key, stage in keys.items()
        }
        ways: dict[Unit, float] = {}
        for unit in reversed(todo):
            behind = (*self._dependents.get(unit, ()), *self._behind.get(unit, ()))
            longest = max((ways[other] for other in behind if other in ways), default=0.0)
            ways[unit] = seconds[unit.stage.key] + longest
        return ways

    def take(self) -> Unit | None:
        """Return the next unit that can run; None when no more will."""
        with self._changed:
            while not self._stop.is_set():
                if self._ready and not (self._running and self._is_next_alone()):
                    self._running += 1
                    unit = self._units[heapq.heappop(self._ready)]
                    self._wide_runs = self._wide(unit)
                    return unit
                if not self._running:
                    return None
                self._changed.wait(timeout=0.2)
        return None

    def take_beside(self, unit: Unit, most: int) -> list[Unit]:
        """Return up to `most` more shards of a taken unit's stage that can run, in their order."""
        with self._changed:
            ready = [n for n in sorted(self._ready) if self._units[n].stage.key == unit.stage.key]
            taken = ready[: max(most, 0)]
            self._ready = [number for number in self._ready if number not in taken]
            heapq.heapify(self._ready)
            self._running += len(taken)
            return [self._units[number] for number in taken]

    def _is_next_alone(self) -> bool:
        unit = self._units[self._ready[0]]
        return self._wide_runs or self._wide(unit) or unit.stage.kind in self._alone

    def give(self, unit: Unit, *, ok: bool) -> None:
        """Say that a unit ended; what needs a failed one will not run."""
        with self._changed:
            self._running -= 1
            # what needs a failed unit never runs; a longer training begins anew
            freed = (*self._dependents.get(unit, ()), *self._behind.get(unit, ()))
            for dependent in freed if ok else self._behind.get(unit, ()):
                waits = self._waits[dependent]
                if unit in waits:
                    waits.discard(unit)
                    if not waits:
                        heapq.heappush(self._ready, self._place[dependent])
            self._changed.notify_all()

    def put_back(self, unit: Unit) -> None:
        """Say that a unit did not run after all: whoever is idle takes it."""
        with self._changed:
            self._running -= 1
            heapq.heappush(self._ready, self._place[unit])
            self._changed.notify_all()

    def is_over(self) -> bool:
        """Tell whether nothing runs and nothing can."""
        with self._changed:
            return not self._ready and not self._running
