"""One unit: look up, run, commit; local and cluster share it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ldmbench.canonical import digest
from ldmbench.errors import StageError
from ldmbench.execute.survey import speed_outdated
from ldmbench.schema.stage import Manifest, Stage
from ldmbench.schema.task import Task, TaskInput
from ldmbench.store.artifact import outputs_digest, outputs_of
from ldmbench.store.disk import Store
from ldmbench.store.machine import code_digest, machine, versions
from ldmbench.store.origins import origins
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


def run_unit(
    unit: Unit,
    store: Store,
    stages: Mapping[str, Stage],
    *,
    execute: Callable[[Task], Outcome],
    device: str,
    threads: int | None = None,
    fresh: bool = False,
    machines: Sequence[Mapping[str, Any]] = (),
    stopped: Callable[[], bool] = lambda: False,
) -> Done:
    """Make one artefact, or find that another run has just made it.

    Args:
        unit: what to make.
        store: where it will lie.
        stages: of the plan, by key.
        execute: does the work.
        device: what it computes on.
        threads: of a task that has all cores to itself.
        fresh: make it anew although it is there.
        machines: whose speed counts; any when empty.
        stopped: tells that nothing is waited for any more.

    Raises:
        StageError: if the stage failed; the message is its reason.
        InputLostError: if an input is no longer there.
        StoreError: if the store cannot be written.
    """
    asked = datetime.now(UTC).isoformat()
    while not stopped():
        with store.lock(unit.address, timeout=0.5) as mine:
            if not mine:
                continue
            found = store.lookup(unit.address)
            if found and _is_current(
                found, unit, store, stages, asked=asked if fresh else None, machines=machines
            ):
                return Done(unit, None)
            return Done(unit, _make(unit, store, stages, execute, device, threads))
    raise StageError("stopped")


def _is_current(
    found: Manifest,
    unit: Unit,
    store: Store,
    stages: Mapping[str, Stage],
    *,
    asked: str | None,
    machines: Sequence[Mapping[str, Any]],
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


def _make(
    unit: Unit,
    store: Store,
    stages: Mapping[str, Stage],
    execute: Callable[[Task], Outcome],
    device: str,
    threads: int | None,
) -> float:
    stage, started = unit.stage, datetime.now(UTC).isoformat()
    inputs = {
        role: _task_input(unit, units, store, item.count)
        for role, item, units in inputs_of(unit, stages)
    }
    digests = {role: found or "" for role, found in _input_digests(unit, store, stages).items()}
    made_by = digest({"code": code_digest(stage.kind), "inputs": digests})
    output = store.temporary(unit.address)
    try:
        outcome = execute(
            Task(
                kind=stage.kind,
                key=stage.key,
                params=stage.params,
                inputs=inputs,
                local=stage.local,
                output=output,
                scratch=store.scratch(unit.address, made_by=made_by),
                device=device,
                threads=threads,
                shard=unit.shard,
            )
        )
        outputs = outputs_of(output)
        manifest = Manifest(
            kind=stage.kind,
            key=stage.key,
            shard=unit.shard,
            version=stage.version,
            params=stage.params,
            inputs=stage.inputs,
            input_digests={**digests, **origins(stage, stages, store)},
            outputs=outputs,
            digest=outputs_digest(outputs),
            code=code_digest(stage.kind),
            machine={**machine(), **outcome.machine},
            versions={**versions(), **outcome.versions},
            started=started,
            seconds=outcome.seconds,
        )
        store.commit(output, manifest)
    finally:
        shutil.rmtree(output, ignore_errors=True)
    store.drop_scratch(unit.address)
    return outcome.seconds


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
