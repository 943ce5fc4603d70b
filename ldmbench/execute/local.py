"""Runs a plan on this machine: one long-lived worker process per device, fed in plan order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ldmbench.execute.execution import Listener, Result, run_plan
from ldmbench.execute.process import WorkerProcess
from ldmbench.execute.runner import Event, Runner
from ldmbench.schema.stage import Plan
from ldmbench.schema.task import Task
from ldmbench.store.disk import Store

__all__ = ["execute"]


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
        devices: one worker process each.
        listener: told of progress.
        log: a file for what workers and libraries print.
        fresh: stage kinds, or kind/key beginnings, to make anew.
        verify: compare every digest in the store first.

    Raises:
        InterruptError: after Ctrl-C; everything committed is kept.
        StoreError: if the store cannot be written.
    """
    runners = [_LocalRunner(device, log) for device in devices]
    return run_plan(plan, store, runners=runners, listener=listener, fresh=fresh, verify=verify)


class _LocalRunner(Runner):
    """A worker process of this machine; nothing of it is started before the first task."""

    def __init__(self, device: str, log: Path) -> None:
        super().__init__(device)
        self._process = WorkerProcess(device, log)

    def events(self, task: Task) -> Iterator[Event]:
        """Run a task and yield what is said of it."""
        return self._process.run(task)

    def close(self) -> None:
        """End the process."""
        self._process.close()
