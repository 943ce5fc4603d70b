"""Runner: something that runs tasks one by one and reports; local and cluster have one each."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from ldmbench.errors import InputError, StageError
from ldmbench.execute.step import Outcome
from ldmbench.schema.task import Task

__all__ = ["Event", "LostError", "Runner"]

Event: TypeAlias = dict[str, Any]
"""What a worker process says: hello, progress, warning, done or failed (see worker.py)."""


class LostError(Exception):
    """A machine went away with its task, which any other may take; the message says which."""


class Runner(ABC):
    """Runs tasks on one device.

    Attributes:
        device: what tasks compute on.
        crowded: whether others compute on the same machine; GPUs share its processor, too.
        threads_alone: of a task that has all of the machine's cores to itself; None leaves it to
            the worker process.
        machine: what the worker said of its device and, if it is another one, its machine.
        versions: of the libraries there, where they may differ from those here.
        waited: wall seconds in `run`, so far.
        resting: a training on several devices has this one, too.
    """

    def __init__(
        self, device: str, *, crowded: bool = False, threads_alone: int | None = None
    ) -> None:
        self.device, self.crowded, self.threads_alone = device, crowded, threads_alone
        self.machine: dict[str, object] = {}
        self.versions: dict[str, str] = {}
        self.waited, self.resting = 0.0, False
        self._start_seconds = 0.0

    @abstractmethod
    def events(self, task: Task) -> Iterator[Event]:
        """Run a task and yield what is said of it; the last event is done or failed."""

    def rest(self) -> None:
        """Give back memory and resources until `wake`: a training has all devices."""
        self.resting = True

    def wake(self) -> None:
        """Take tasks again."""
        self.resting = False

    @abstractmethod
    def close(self) -> None:
        """End it, whatever it is doing."""

    def is_ready(self) -> bool:
        """Tell whether it can be given a task; a cluster may be slow to find room.

        Raises:
            StageError: if it never will.
        """
        return True

    def run(
        self, task: Task, progress: Callable[[float, str], None], warn: Callable[[str], None]
    ) -> Outcome:
        """Run one task to its end.

        Raises:
            InputError: if what it was given is wrong.
            StageError: if it failed otherwise, or if the process died.
            LostError: if the machine that ran it is gone.
        """
        since = time.perf_counter()
        try:
            for event in self.events(task):
                if event["event"] == "progress":
                    progress(event["fraction"], event["note"])
                elif event["event"] == "hello":
                    self.machine = event["machine"]
                    self.versions = event.get("versions", {})
                    self._start_seconds += event["seconds"]
                elif event["event"] == "warning":
                    warn(event["message"])
                elif event["event"] == "failed":
                    error = InputError if event.get("wrong") else StageError
                    raise error(event["message"])
                elif event["event"] == "done":
                    here = {**self.machine, **event.get("machine", {})}
                    return Outcome(event["seconds"], here, self.versions)
            raise StageError("the worker ended without saying how the stage ended")
        finally:
            self.waited += time.perf_counter() - since

    def take_start(self) -> float:
        """Return and forget the seconds spent on starting processes."""
        seconds, self._start_seconds = self._start_seconds, 0.0
        return seconds
