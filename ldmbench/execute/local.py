"""Runs a plan on this machine: one long-lived worker process per device, fed in plan order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ldmbench.execute.devices import cores, gpu_of, speed_machines
from ldmbench.execute.execution import Listener, Result, run_plan
from ldmbench.execute.gpus import VISIBLE
from ldmbench.execute.process import WorkerProcess
from ldmbench.execute.runner import Event, Runner
from ldmbench.execute.team import Seat, Team, check_team
from ldmbench.schema.stage import Plan
from ldmbench.schema.task import Task
from ldmbench.store.disk import Store

__all__ = ["execute"]

THREADS = "OMP_NUM_THREADS"


def execute(
    plan: Plan,
    store: Store,
    *,
    devices: Sequence[str],
    listener: Listener,
    log: Path,
    team: int = 1,
    fresh: Iterable[str] = (),
    verify: bool = False,
) -> Result:
    """Make everything a plan asks for that is not in the store.

    Args:
        plan: what is asked.
        store: an open store.
        devices: one worker process each; they share the machine's cores. Stages that measure
            speed come last, one at a time, with all of the cores.
        listener: receives progress.
        log: a file for what workers and libraries print.
        team: devices that train one model.
        fresh: stage kinds, or kind/key beginnings, to make anew.
        verify: compare every digest in the store first.

    Raises:
        InterruptError: after Ctrl-C; everything committed is kept.
        StoreError: if the store cannot be written.
    """
    together = seats_of(check_team(team, devices, cores()))
    runners = [_LocalRunner(device, log, workers=len(devices), team=together) for device in devices]
    return run_plan(
        plan,
        store,
        runners=runners,
        listener=listener,
        team=team,
        fresh=fresh,
        verify=verify,
        machines=speed_machines(devices),
    )


class _LocalRunner(Runner):
    """A worker process of this machine; nothing of it is started before the first task.

    It sees one GPU alone, its first: code that says "cuda" cannot reach another.

    Args:
        device: what it computes on, as this process numbers GPUs.
        log: a file for what it prints.
        workers: how many there are on this machine; they share its cores evenly, unless the user
            said how many threads each has.
        team: the devices of a training on several.
    """

    def __init__(self, device: str, log: Path, *, workers: int, team: Sequence[Seat] = ()) -> None:
        divided = workers > 1 and not os.environ.get(THREADS)
        own = device if device == "cpu" else "cuda:0"
        super().__init__(own, crowded=workers > 1, threads_alone=cores() if divided else None)
        environment = {THREADS: str(max(1, cores() // workers))} if divided else {}
        if device != "cpu":
            environment[VISIBLE] = gpu_of(device).visible
        self._process = WorkerProcess(own, log, title=device, environment=environment)
        self._team = Team(team, log)

    def events(self, task: Task) -> Iterator[Event]:
        """Run a task and yield what is said of it."""
        return (self._team if task.devices > 1 else self._process).run(task)

    def rest(self) -> None:
        """End a process that has memory of a GPU."""
        super().rest()
        if self.device != "cpu":
            self._process.rest()

    def close(self) -> None:
        """End the processes."""
        self._team.close()
        self._process.close()


def seats_of(devices: Sequence[str]) -> list[Seat]:
    """Return where the processes of one training are, by the names of their devices."""
    threads = {} if os.environ.get(THREADS) else {THREADS: str(max(1, cores() // len(devices)))}
    return [
        Seat(name, "cpu", threads)
        if name == "cpu"
        else Seat(name, "cuda:0", {**threads, VISIBLE: gpu_of(name).visible})
        for name in devices
    ]
