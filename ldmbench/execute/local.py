"""Runs a plan on this machine: one long-lived worker process per device, fed in plan order."""

from __future__ import annotations

import contextlib
import heapq
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ldmbench.errors import InterruptError, StageError, StoreError
from ldmbench.execute.step import Clock, Done, InputLostError, Outcome, run_unit
from ldmbench.execute.survey import Survey, survey
from ldmbench.schema.stage import Plan
from ldmbench.schema.task import Task
from ldmbench.store.disk import Store, describe_os_error
from ldmbench.store.units import Unit, inputs_of

PASSES = 12
"""Looks at the plan: one per stage kind is enough for any change to travel to the scores."""


class Listener(Protocol):
    """What is told of a run while it goes on; every method may do nothing."""

    def planned(self, units: Sequence[Unit]) -> None:
        """These units are about to run."""

    def started(self, unit: Unit) -> None:
        """A unit began."""

    def progressed(self, unit: Unit, fraction: float, note: str) -> None:
        """A unit is at `fraction` of its work."""

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
        stale: stage key -> label of artefacts that an older code made.
        machine: what the workers said of their devices.
        spans: wall seconds by purpose (body, start, commit, lookup).
    """

    executed: int = 0
    reused: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    stale: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    spans: dict[str, float] = field(default_factory=dict)


def execute(
    plan: Plan,
    store: Store,
    *,
    devices: Sequence[str],
    listener: Listener,
    log: Path,
    fresh: Iterable[str] = (),
    verify: bool = False,
) -> Result:
    """Make everything a plan asks for that is not in the store.

    Args:
        plan: what is asked.
        store: an open store.
        devices: one worker each.
        listener: told of progress.
        log: a file for what workers and libraries print.
        fresh: stage kinds, or kind/key beginnings, to make anew.
        verify: compare every digest in the store first.

    Raises:
        InterruptError: after Ctrl-C; everything committed is kept.
        StoreError: if the store cannot be written.
    """
    return _Execution(plan, store, devices, listener, log=log, fresh=tuple(fresh)).run(
        verify=verify
    )


class _Execution:
    def __init__(
        self,
        plan: Plan,
        store: Store,
        devices: Sequence[str],
        listener: Listener,
        *,
        log: Path,
        fresh: tuple[str, ...],
    ) -> None:
        self.plan, self.store, self.listener = plan, store, listener
        self.stages = {stage.key: stage for stage in plan.stages}
        self.fresh, self.refreshed = fresh, set[str]()
        self.result, self.clock = Result(), Clock()
        self.workers = [Worker(device, log) for device in devices]
        self.stop = threading.Event()

    def run(self, *, verify: bool) -> Result:
        began = time.perf_counter()
        try:
            for number in range(PASSES):
                found = self._look(verify=verify and number == 0)
                todo = [u for u in found.missing if u.stage.key not in self.result.failed]
                if number == 0:
                    self.result.reused = found.used
                if not todo:
                    break
                self.listener.planned(todo)
                self._run_all(todo)
        except KeyboardInterrupt:
            self.stop.set()
            raise InterruptError(
                "interrupted; finished stages and checkpoints are kept,"
                " run the same command again to go on"
            ) from None
        finally:
            for worker in self.workers:
                worker.close()
            self.result.machine = self.workers[0].machine
            self.result.spans = {**self.clock.spans, "all": time.perf_counter() - began}
        return self.result

    def _look(self, *, verify: bool) -> Survey:
        since = time.perf_counter()
        found = survey(self.plan, self.store, fresh=self._is_fresh, verify=verify)
        self.result.stale = dict(found.stale)
        self.clock.add("lookup", since)
        self._pass_on_warnings()
        return found

    def _pass_on_warnings(self) -> None:
        while self.store.warnings:
            self.listener.warned(self.store.warnings.pop(0))

    def _is_fresh(self, unit: Unit) -> bool:
        named = (unit.stage.kind, f"{unit.stage.kind}/{unit.stage.key}")
        asked = any(named[0] == f or named[1].startswith(f) for f in self.fresh)
        return asked and unit.address.name not in self.refreshed

    def _run_all(self, todo: Sequence[Unit]) -> None:
        queue_ = _Ready(todo, self)
        threads = [
            threading.Thread(target=self._serve, args=(worker, queue_), daemon=True)
            for worker in self.workers[: len(todo)]
        ]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(timeout=0.1)
        except KeyboardInterrupt:
            self.stop.set()
            for worker in self.workers:
                worker.close()
            raise
        if queue_.broken:
            raise queue_.broken

    def _serve(self, worker: Worker, ready: _Ready) -> None:
        while not self.stop.is_set():
            unit = ready.take()
            if unit is None:
                return
            try:
                done = self._run_one(unit, worker)
            except InputLostError:
                ready.give(unit, ok=False)
            except (StageError, StoreError) as error:
                self._fail(unit, str(error))
                ready.give(unit, ok=False)
            except OSError as error:
                self._fail(unit, describe_os_error(error, self.store.root))
                ready.give(unit, ok=False)
            except Exception as error:
                ready.broken = error
                self.stop.set()
            else:
                self.result.executed += done.seconds is not None
                self.listener.finished(unit, done.seconds)
                ready.give(unit, ok=True)

    def _run_one(self, unit: Unit, worker: Worker) -> Done:
        self.listener.started(unit)
        fresh = self._is_fresh(unit)
        since = time.perf_counter()
        outside = worker.waited

        def body(task: Task) -> Outcome:
            return worker.run(task, lambda f, n: self.listener.progressed(unit, f, n))

        done = run_unit(
            unit,
            self.store,
            self.stages,
            execute=body,
            device=worker.device,
            fresh=fresh,
            stopped=self.stop.is_set,
        )
        self.refreshed.add(unit.address.name)
        total, waited = time.perf_counter() - since, worker.waited - outside
        spans = self.clock.spans
        spans["body"] = spans.get("body", 0.0) + (done.seconds or 0.0)
        spans["start"] = spans.get("start", 0.0) + worker.take_start()
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


class _Ready:
    """Hands out units whose inputs are there, in plan order."""

    def __init__(self, todo: Sequence[Unit], execution: _Execution) -> None:
        self._stop = execution.stop
        self._changed = threading.Condition()
        self._place = {unit: number for number, unit in enumerate(todo)}
        self._units = list(todo)
        self._waits: dict[Unit, set[Unit]] = {}
        self._dependents: dict[Unit, list[Unit]] = {}
        for unit in todo:
            inputs = inputs_of(unit, execution.stages)
            waits = {part for _, _, parts in inputs for part in parts if part in self._place}
            self._waits[unit] = waits
            for part in waits:
                self._dependents.setdefault(part, []).append(unit)
        self._ready = [self._place[unit] for unit, waits in self._waits.items() if not waits]
        heapq.heapify(self._ready)
        self._running = 0
        self.broken: Exception | None = None

    def take(self) -> Unit | None:
        """Return the next unit that can run; None when no more will."""
        with self._changed:
            while not self._stop.is_set():
                if self._ready:
                    self._running += 1
                    return self._units[heapq.heappop(self._ready)]
                if not self._running:
                    return None
                self._changed.wait(timeout=0.2)
        return None

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


class Worker:
    """A worker process on one device, started when the first task comes and again after a crash."""

    def __init__(self, device: str, log: Path) -> None:
        self.device, self.log = device, log
        self.machine: dict[str, Any] = {}
        self.waited = 0.0
        self._start_seconds = 0.0
        self._process: subprocess.Popen[str] | None = None
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._closed = False

    def run(self, task: Task, progress: Callable[[float, str], None]) -> Outcome:
        """Run one task to its end.

        Raises:
            StageError: if it failed, or if the process died.
        """
        since = time.perf_counter()
        try:
            self._ensure()
            assert self._process is not None
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(task.model_dump_json() + "\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                raise StageError(self._obituary()) from None
            return self._await(task, progress)
        finally:
            self.waited += time.perf_counter() - since

    def take_start(self) -> float:
        """Return and forget the seconds spent on starting processes."""
        seconds, self._start_seconds = self._start_seconds, 0.0
        return seconds

    def close(self) -> None:
        """End the process."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()

    def _ensure(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        since = time.perf_counter()
        self._events = queue.Queue()
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ldmbench.execute.worker", "--device", self.device],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        threading.Thread(
            target=_read_events, args=(self._process, self._events), daemon=True
        ).start()
        event = self._events.get()
        if event is None:
            raise StageError(f"the worker could not start; see {self.log}")
        self.machine = event["machine"]
        self._start_seconds += time.perf_counter() - since

    def _await(self, task: Task, progress: Callable[[float, str], None]) -> Outcome:
        while True:
            event = self._events.get()
            if event is None:
                raise StageError("stopped" if self._closed else self._obituary())
            if event["event"] == "progress":
                progress(event["fraction"], event["note"])
            elif event["event"] == "done":
                return Outcome(event["seconds"], self.machine)
            elif event["event"] == "failed":
                with contextlib.suppress(OSError), self.log.open("a") as log:  # a full disk, say
                    log.write(f"{task.kind} {task.key}\n{event['trace']}\n")
                raise StageError(event["message"])

    def _obituary(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return "the worker process was killed (signal 9), perhaps for want of memory"
        if code < 0:
            return f"the worker process died of {signal.Signals(-code).name}; see {self.log}"
        return f"the worker process ended with code {code}; see {self.log}"


def _read_events(
    process: subprocess.Popen[str], events: queue.Queue[dict[str, Any] | None]
) -> None:
    assert process.stdout is not None
    with process.stdout as lines:  # closed by its reader: to close a pipe that is read can hang
        for line in lines:
            events.put(json.loads(line))
    events.put(None)
