"""One unit: look up, run, commit; local and cluster share it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import compress
from typing import Any, NamedTuple

from ldmbench.canonical import digest
from ldmbench.errors import StageError
from ldmbench.execute.survey import speed_outdated
from ldmbench.schema.stage import Manifest, Stage
from ldmbench.schema.task import Task, TaskInput
from ldmbench.store.artifact import outputs_digest, outputs_of
from ldmbench.store.disk import Store
from ldmbench.store.machine import code_digest, machine, versions
from ldmbench.store.provenance import origins
from ldmbench.store.states import training_of
from ldmbench.store.units import Unit, inputs_digest, inputs_of


@dataclass(frozen=True)
class Outcome:
    """What is said of a finished task: seconds of the stage body, the device, the libraries."""

    seconds: float
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """A unit that is now in the store: run here (`seconds` of body) or by another run (None)."""

    unit: Unit
    seconds: float | None


class InputLostError(Exception):
    """An input is damaged or gone; the next look at the plan makes it anew."""


def run_units(
    units: Sequence[Unit],
    store: Store,
    stages: Mapping[str, Stage],
    *,
    execute: Callable[[Task], Outcome],
    device: str,
    threads: int | None = None,
    team: int = 1,
    fresh: Container[Unit] = (),
    machines: Sequence[Mapping[str, object]] = (),
    stopped: Callable[[], bool] = lambda: False,
) -> list[Done]:
    """Make an artefact, or find that another run has just made it; so with more shards of a stage.

    Args:
        units: what to make: one, or shards of one stage, in one task. The first is waited for
            where another run makes it; others are then left out.
        store: where they will lie.
        stages: of the plan, by key.
        execute: does the work.
        device: what it computes on.
        threads: of a task that has all cores to itself.
        team: devices of a training.
        fresh: what to make anew although it is there.
        machines: whose speed counts; any when empty.
        stopped: tells that nothing is waited for any more.

    Returns:
        What is in the store now, the first unit at the least.

    Raises:
        StageError: if the stage failed; the message is its reason.
        InputLostError: if an input is no longer there.
        StoreError: if the store cannot be written.
    """
    asked = datetime.now(UTC).isoformat()
    first, *others = units
    while not stopped():
        with ExitStack() as locks:
            if not locks.enter_context(store.lock(first.address, timeout=0.5)):
                continue
            free = (locks.enter_context(store.lock(u.address, timeout=0)) for u in others)
            held = [first, *compress(others, free)]
            todo = []
            for unit in held:
                found, since = store.lookup(unit.address), asked if unit in fresh else None
                current = found and _is_current(
                    found, unit, store, stages, asked=since, machines=machines
                )
                todo += [] if current else [unit]
            again = {unit for unit in todo if unit in fresh}
            where = _Where(device, threads, team)
            seconds = _make(todo, store, stages, execute, where, again) if todo else 0.0
            return [Done(unit, seconds if unit in todo else None) for unit in held]
    raise StageError("stopped")


def _is_current(
    found: Manifest,
    unit: Unit,
    store: Store,
    stages: Mapping[str, Stage],
    *,
    asked: str | None,
    machines: Sequence[Mapping[str, object]],
) -> bool:
    if asked is not None and found.started < asked:
        return False
    if unit.stage.kind == "speed" and speed_outdated(found, machines):
        return False
    now = _input_digests(unit, store, stages)
    return all(
        found.input_digests.get(role) in (None, value) for role, value in now.items() if value
    )


def _input_digests(unit: Unit, store: Store, stages: Mapping[str, Stage]) -> dict[str, str | None]:
    return {
        role: inputs_digest(units, lambda part: store.lookup(part.address))
        for role, _, units in inputs_of(unit, stages)
    }


class _Where(NamedTuple):
    """What a task computes on."""

    device: str
    threads: int | None
    team: int


@dataclass(frozen=True)
class _Begun:
    """A unit whose task is ready to run."""

    unit: Unit
    task: Task
    digests: Mapping[str, str]
    started: str


def _make(
    units: Sequence[Unit],
    store: Store,
    stages: Mapping[str, Stage],
    execute: Callable[[Task], Outcome],
    where: _Where,
    again: Container[Unit],
) -> float:
    """Run one task for all units and commit each; return the seconds that one took."""
    begun: list[_Begun] = []
    try:
        # Open a temporary folder for each unit.
        for unit in units:
            begun.append(_begin(unit, store, stages, where, anew=unit in again))
        # Run the stage once for all units, and share its time among them.
        first, *others = (each.task for each in begun)
        outcome = execute(first.model_copy(update={"beside": tuple(others)}))
        outcome = replace(outcome, seconds=outcome.seconds / len(begun))
        # Move what was made into the store.
        for each in begun:
            _commit(each, store, stages, outcome)
    finally:
        for each in begun:
            shutil.rmtree(each.task.output, ignore_errors=True)
    for unit in units:
        store.drop_scratch(unit.address)
    return outcome.seconds


def _begin(
    unit: Unit, store: Store, stages: Mapping[str, Stage], where: _Where, *, anew: bool
) -> _Begun:
    """Look at the inputs of a unit and make the folder that it writes to."""
    stage, started = unit.stage, datetime.now(UTC).isoformat()
    inputs = {
        role: _task_input(unit, units, store, item.count)
        for role, item, units in inputs_of(unit, stages)
    }
    digests = {role: found or "" for role, found in _input_digests(unit, store, stages).items()}
    made_by = digest({"code": code_digest(stage.kind), "inputs": digests})
    training = training_of(stage)
    task = Task(
        kind=stage.kind,
        key=stage.key,
        params=stage.params,
        inputs=inputs,
        local=stage.local,
        output=store.temporary(unit.address),
        scratch=store.scratch(unit.address, made_by=made_by),
        states=store.states(training, made_by=made_by, anew=anew) if training else None,
        device=where.device,
        threads=where.threads,
        devices=where.team,
        shard=unit.shard,
    )
    return _Begun(unit, task, digests, started)


def _commit(begun: _Begun, store: Store, stages: Mapping[str, Stage], outcome: Outcome) -> None:
    """Put what a task wrote into the store, with its manifest."""
    stage, outputs = begun.unit.stage, outputs_of(begun.task.output)
    manifest = Manifest(
        kind=stage.kind,
        key=stage.key,
        shard=begun.unit.shard,
        version=stage.version,
        params=stage.params.keyed(),
        inputs=stage.inputs,
        input_digests={**begun.digests, **origins(stage, stages, store)},
        outputs=outputs,
        digest=outputs_digest(outputs),
        code=code_digest(stage.kind),
        machine={**machine(), **outcome.machine},
        versions={**versions(), **outcome.versions},
        started=begun.started,
        seconds=outcome.seconds,
    )
    store.commit(begun.task.output, manifest)


def _task_input(unit: Unit, units: list[Unit], store: Store, count: int | None) -> TaskInput:
    for part in units:
        if store.lookup(part.address, verify=True) is None:
            raise InputLostError(part.label)
    folders = tuple(store.folder(part.address) for part in units)
    first = units[0]
    if first.shard is None:
        return TaskInput(folders=folders)
    aligned = unit.shard is not None
    start, stop = unit.shard if unit.shard else (0, units[-1].shard[1] if units[-1].shard else 0)
    size = first.shard[1] - first.shard[0]
    return TaskInput(
        folders=folders,
        start=start,
        stop=stop if aligned or count is None else count,
        first=first.shard[0],
        shard=size,
    )


class Clock:
    """Adds up wall time by purpose, for the account of a run's overhead."""

    def __init__(self) -> None:
        self.spans: dict[str, float] = {}

    def add(self, name: str, since: float) -> None:
        """Add the time since `since` (time.perf_counter) to a purpose."""
        self.spans[name] = self.spans.get(name, 0.0) + time.perf_counter() - since
