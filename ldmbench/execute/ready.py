"""Ready: hands out units whose inputs are there, in plan order."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Mapping, Sequence

from ldmbench.schema.stage import Kind, Stage
from ldmbench.store.units import Unit, inputs_of

__all__ = ["Ready"]


class Ready:
    """Hands out units whose inputs are there, in plan order; shared by all runners' threads.

    Args:
        todo: units to run, in plan order.
        stages: key -> stage of the whole plan.
        stop: once set, nothing more is handed out.
        alone: kinds that are handed out one at a time, when nothing else is running or ready.
    """

    def __init__(
        self,
        todo: Sequence[Unit],
        stages: Mapping[str, Stage],
        stop: threading.Event,
        *,
        alone: frozenset[Kind] = frozenset(),
    ) -> None:
        self._stop, self._alone = stop, alone
        self._changed = threading.Condition()
        # What must run alone comes last: it waits for nothing else then, and nothing for it.
        last = sorted(todo, key=lambda unit: unit.stage.kind in alone)
        self._place = {unit: number for number, unit in enumerate(last)}
        self._units = last
        self._waits: dict[Unit, set[Unit]] = {}
        self._dependents: dict[Unit, list[Unit]] = {}
        for unit in todo:
            inputs = inputs_of(unit, stages)
            waits = {part for _, _, parts in inputs for part in parts if part in self._place}
            self._waits[unit] = waits
            for part in waits:
                self._dependents.setdefault(part, []).append(unit)
        self._ready = [self._place[unit] for unit, waits in self._waits.items() if not waits]
        heapq.heapify(self._ready)
        self._running = 0

    def take(self) -> Unit | None:
        """Return the next unit that can run; None when no more will."""
        with self._changed:
            while not self._stop.is_set():
                if self._ready and not (self._running and self._is_next_alone()):
                    self._running += 1
                    return self._units[heapq.heappop(self._ready)]
                if not self._running:
                    return None
                self._changed.wait(timeout=0.2)
        return None

    def _is_next_alone(self) -> bool:
        return self._units[self._ready[0]].stage.kind in self._alone

    def give(self, unit: Unit, *, ok: bool) -> None:
        """Say that a unit ended; what needs a failed one will not run."""
        with self._changed:
            self._running -= 1
            for dependent in self._dependents.get(unit, ()):
                waits = self._waits[dependent]
                if ok:  # one that waits for a failed unit keeps waiting, and so never runs
                    waits.discard(unit)
                    if not waits:
                        heapq.heappush(self._ready, self._place[dependent])
            self._changed.notify_all()

    def is_over(self) -> bool:
        """Tell whether nothing runs and nothing can."""
        with self._changed:
            return not self._ready and not self._running
