"""Execution: makes what a plan asks for and the store lacks, on whatever runners there are."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ldmbench.errors import InputError, InterruptError, StageError, StoreError
from ldmbench.execute.ready import Ready
from ldmbench.execute.runner import LostError, Runner
from ldmbench.execute.step import Clock, Done, InputLostError, Outcome, run_units
from ldmbench.execute.survey import Survey, is_named, survey
from ldmbench.schema.base import Kind
from ldmbench.schema.params import TrainedDenoiser, TrainedStage
from ldmbench.schema.stage import Plan
from ldmbench.schema.task import Task
from ldmbench.store.disk import Store
from ldmbench.store.faults import describe_os_error
from ldmbench.store.units import Unit

__all__ = ["Listener", "Result", "run_plan"]

LAST_KINDS: frozenset[Kind] = frozenset({"speed"})
"""Kinds that come last, and that nothing may run beside on the same machine."""

TOGETHER: Mapping[Kind, int] = {"features": 8}
"""Shards that one task of a GPU has at most: a shard alone would leave its batch half empty."""

MACHINES_LOST = 2
"""Machines that may be lost with a unit before it counts as failed."""
PASSES = 12
"""Surveys of the plan: one per stage kind is enough for any change to reach the scores."""


class Listener(Protocol):
    """What a run reports while it goes on; every method may do nothing."""

    def planned(self, units: Sequence[Unit]) -> None:
        """These units are about to run."""

    def started(self, unit: Unit) -> None:
        """A unit began."""

    def progressed(self, units: Sequence[Unit], fraction: float, note: str) -> None:
        """The units of one task are at `fraction` of its work."""

    def finished(self, unit: Unit, seconds: float | None) -> None:
        """A unit is in the store."""

    def failed(self, unit: Unit, reason: str) -> None:
        """A unit failed."""

    def warned(self, text: str) -> None:
        """Something the user should know."""


@dataclass
class Result:
    """How an execution ended.

    Attributes:
        executed: units that ran here.
        reused: units that were in the store already.
        failed: stage key -> reason, dependents included.
        wrong: keys of stages that failed since what they were given is wrong.
        stale: stage key -> label of artefacts that an older code made.
        machine: what the workers said of their devices.
        spans: wall seconds by purpose (body, start, commit, lookup).
    """

    executed: int = 0
    reused: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)
    stale: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    spans: dict[str, float] = field(default_factory=dict)


def run_plan(
    plan: Plan,
    store: Store,
    *,
    runners: Sequence[Runner],
    listener: Listener,
    team: int = 1,
    fresh: Iterable[str] = (),
    verify: bool = False,
    machines: Sequence[Mapping[str, object]] = (),
) -> Result:
    """Make everything a plan asks for that is not in the store; close the runners.

    Args:
        plan: what is asked.
        store: an open store.
        runners: at least one; each is fed by a thread of its own.
        listener: receives progress.
        team: devices that train one model; more than one have each training alone.
        fresh: stage kinds, or kind/key beginnings, to make anew.
        verify: compare every digest in the store first.
        machines: whose speed counts; any when empty.

    Raises:
        InterruptError: after Ctrl-C; everything committed is kept.
        StoreError: if the store cannot be written.
    """
    execution = _Execution(
        plan, store, runners, listener, team=team, fresh=tuple(fresh), machines=machines
    )
    return execution.run(verify=verify)


class _Execution:
    def __init__(
        self,
        plan: Plan,
        store: Store,
        runners: Sequence[Runner],
        listener: Listener,
        *,
        team: int,
        fresh: tuple[str, ...],
        machines: Sequence[Mapping[str, object]],
    ) -> None:
        self.plan, self.store, self.runners, self.listener = plan, store, runners, listener
        self.stages = {stage.key: stage for stage in plan.stages}
        self.fresh, self.refreshed, self.machines = fresh, set[str](), machines
        self.result, self.clock = Result(), Clock()
        self.stop, self.counting = threading.Event(), threading.Lock()
        self.broken: Exception | None = None
        self.losses: Counter[Unit] = Counter()
        self.serving, self.team = 0, team

    def run(self, *, verify: bool) -> Result:
        began = time.perf_counter()
        self.store.heard = True
        try:
            for number in range(PASSES):
                found = self._look(verify=verify and number == 0)
                todo = [u for u in found.missing if not self._is_settled(u)]
                if number == 0:
                    self.result.reused = found.used
                if not todo:
                    break
                self.listener.planned(todo)
                self._run_all(todo)
        except KeyboardInterrupt:
            raise InterruptError(
                "interrupted; finished stages and checkpoints are kept; the same command continues"
            ) from None
        finally:
            self._close()
            self._pass_on_warnings()
            self.store.heard = False
            self.result.machine = self.runners[0].machine
            self.result.spans = {**self.clock.spans, "all": time.perf_counter() - began}
        return self.result

    def _close(self) -> None:
        self.stop.set()
        for runner in self.runners:
            runner.close()

    def _look(self, *, verify: bool) -> Survey:
        since = time.perf_counter()
        found = survey(
            self.plan, self.store, fresh=self._is_fresh, verify=verify, machines=self.machines
        )
        self.result.stale = dict(found.stale)
        self.clock.add("lookup", since)
        self._pass_on_warnings()
        return found

    def _is_settled(self, unit: Unit) -> bool:
        """Tell what is not tried again in this run: what failed, and a speed that was measured."""
        measured = unit.stage.kind in LAST_KINDS and unit.address.name in self.refreshed
        return measured or unit.stage.key in self.result.failed

    def _pass_on_warnings(self) -> None:
        while self.store.warnings:
            self.listener.warned(self.store.warnings.pop(0))

    def _is_wide(self, unit: Unit) -> bool:
        """Tell whether a unit takes several devices: trainings do."""
        trained = isinstance(unit.stage.params, TrainedDenoiser | TrainedStage)
        return self.team > 1 and trained

    def _is_fresh(self, unit: Unit) -> bool:
        return is_named(unit.stage, self.fresh) and unit.address.name not in self.refreshed

    def _run_all(self, todo: Sequence[Unit]) -> None:
        # One runner has nothing beside it; over a cluster, machines would stand idle for one.
        last = len(self.runners) == 1 or any(runner.crowded for runner in self.runners)
        ready = Ready(
            todo,
            self.stages,
            self.stop,
            alone=LAST_KINDS if last else frozenset(),
            longest_first=len(self.runners) > 1,
            wide=self._is_wide,
        )
        threads = [  # of all, as each may have to take over what another was lost with
            threading.Thread(target=self._serve, args=(runner, ready), daemon=True)
            for runner in self.runners
        ]
        self.serving = len(threads)
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(timeout=0.1)
        except KeyboardInterrupt:
            self._close()
            for thread in threads:
                thread.join(timeout=5)
            raise
        if self.broken:
            raise self.broken

    def _serve(self, runner: Runner, ready: Ready) -> None:
        """Give one runner units until none is left; an error of no stage ends the run."""
        try:
            while not self.stop.is_set():
                if not runner.is_ready():
                    if ready.is_over():
                        return
                    self.stop.wait(0.2)
                    continue
                unit = ready.take()
                if unit is None:
                    return
                most = TOGETHER.get(unit.stage.kind, 1) if runner.device != "cpu" else 1
                units = [unit, *ready.take_beside(unit, most - 1)]
                for made, ok in self._make(units, runner).items():
                    if ok is None:
                        ready.put_back(made)
                    else:
                        ready.give(made, ok=ok)
        except StageError as error:  # this runner never comes back
            if self._is_last():
                self._break(error)
            else:
                self.listener.warned(f"{error}; the other workers continue")
        except Exception as error:
            self._break(error)

    def _is_last(self) -> bool:
        """Take one runner from those that serve, and tell whether none is left."""
        with self.counting:
            self.serving -= 1
            return self.serving == 0

    def _break(self, error: Exception) -> None:
        self.broken = self.broken or error
        self._close()

    def _make(self, units: Sequence[Unit], runner: Runner) -> dict[Unit, bool | None]:
        """Run one task; return which units are in the store, None if one shall be tried again."""
        try:
            done = {found.unit: found for found in self._run_one(units, runner)}
        except LostError as error:
            return {unit: self._lose(unit, error) for unit in units}
        except InputLostError:
            return dict.fromkeys(units, False)
        except (InputError, StageError, StoreError) as error:
            self._fail(units[0], str(error))
            if isinstance(error, InputError):
                self.result.wrong.add(units[0].stage.key)
            return dict.fromkeys(units, False)
        except OSError as error:
            self._fail(units[0], describe_os_error(error, self.store.root))
            return dict.fromkeys(units, False)
        with self.counting:
            self.result.executed += sum(found.seconds is not None for found in done.values())
        for found in done.values():
            self.listener.finished(found.unit, found.seconds)
        return {unit: True if unit in done else None for unit in units}

    def _lose(self, unit: Unit, error: LostError) -> bool | None:
        """Say that a machine went away with a unit; return None if another one may take it."""
        with self.counting:
            self.losses[unit] += 1
            again = self.losses[unit] < MACHINES_LOST
        if again:
            self.listener.warned(f"{unit.label}: {error}; the stage runs again")
            return None
        self._fail(unit, f"{error}, {MACHINES_LOST} times")
        return False

    def _run_one(self, units: Sequence[Unit], runner: Runner) -> list[Done]:
        """Run one task: a unit, or some shards of one stage."""
        for unit in units:
            self.listener.started(unit)
        # Time the whole task, to know later what the store and the workers cost.
        since = time.perf_counter()
        outside = runner.waited

        def progressed(fraction: float, note: str) -> None:
            self.listener.progressed(units, fraction, note)

        def body(task: Task) -> Outcome:
            with self.counting:
                self._pass_on_warnings()
            others = self.runners if task.devices > 1 else ()
            for other in others:
                other.rest()
            try:
                return runner.run(
                    task,
                    progressed,
                    lambda text: self.listener.warned(f"{units[0].label}: {text}"),
                )
            finally:
                for other in others:
                    other.wake()

        # Look up, run and commit; other runs on this store may be faster.
        done = run_units(
            units,
            self.store,
            self.stages,
            execute=body,
            device=runner.device,
            threads=runner.threads_alone if units[0].stage.kind in LAST_KINDS else None,
            team=self.team if self._is_wide(units[0]) else 1,
            fresh={unit for unit in units if self._is_fresh(unit)},
            machines=self.machines,
            stopped=self.stop.is_set,
        )
        # Runs the time: stage bodies, starts of processes, commits.
        self.refreshed.update(found.unit.address.name for found in done)
        total, waited = time.perf_counter() - since, runner.waited - outside
        with self.counting:
            spans = self.clock.spans
            body_seconds = sum(found.seconds or 0.0 for found in done)
            spans["body"] = spans.get("body", 0.0) + body_seconds
            spans["start"] = spans.get("start", 0.0) + runner.take_start()
            spans["commit"] = spans.get("commit", 0.0) + total - waited
        return done

    def _fail(self, unit: Unit, reason: str) -> None:
        if self.stop.is_set():
            return
        self.result.failed.setdefault(unit.stage.key, reason)
        self.listener.failed(unit, reason)
        lost = {unit.stage.key}
        for stage in self.plan.stages:  # in plan order, so one pass reaches all dependents
            if stage.key not in lost and any(i.key in lost for i in stage.inputs.values()):
                lost.add(stage.key)
                self.result.failed.setdefault(stage.key, f"{unit.stage.label} failed: {reason}")
