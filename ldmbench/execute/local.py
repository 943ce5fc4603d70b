"""Runs a plan on this machine: one long-lived worker process per device, fed in plan order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ldmbench.execute.devices import cores, speed_machines
from ldmbench.execute.execution import Listener, Result, run_plan
from ldmbench.execute.process import WorkerProcess
from ldmbench.execute.runner import Event, Runner
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
    fresh: Iterable[str] = (),
    verify: bool = False,
) -> Result:
    """Make everything a plan asks for that is not in the store.

    Args:
        plan: what is asked.
        store: an open store.
        devices: one worker process each; those of one CPU share its cores. Stages that measure
            speed come last, one at a time, and those on a CPU have all of its cores.
        listener: told of progress.
        log: a file for what workers and libraries print.
        fresh: stage kinds, or kind/key beginnings, to make anew.
        verify: compare every digest in the store first.

    Raises:
        InterruptError: after Ctrl-C; everything committed is kept.
        StoreError: if the store cannot be written.
    """
    beside = devices.count("cpu")
    runners = [
        _LocalRunner(d, log, beside=beside if d == "cpu" else 1, crowded=len(devices) > 1)
        for d in devices
    ]
    return run_plan(
        plan,
        store,
        runners=runners,
        listener=listener,
        fresh=fresh,
        verify=verify,
        machines=speed_machines(devices),
    )


class _LocalRunner(Runner):
    """A worker process of this machine; nothing of it is started before the first task.

    Args:
        device: what it computes on.
        log: a file for what it prints.
        beside: how many workers share what it computes on; a CPU's cores are divided among them,
            unless the user said how many threads each has.
        crowded: whether there are other workers on this machine, on whatever device.
    """

    def __init__(self, device: str, log: Path, *, beside: int, crowded: bool) -> None:
        divided = beside > 1 and not os.environ.get(THREADS)
        threads_alone = cores() if divided else None
        super().__init__(device, crowded=crowded, threads_alone=threads_alone)
        environment = {THREADS: str(max(1, cores() // beside))} if divided else {}
        self._process = WorkerProcess(device, log, environment=environment)

    def events(self, task: Task) -> Iterator[Event]:
        """Run a task and yield what is said of it."""
        return self._process.run(task)

    def close(self) -> None:
        """End the process."""
        self._process.close()
