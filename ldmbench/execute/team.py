"""Processes that train one model together, one for each of its devices.

Each is a worker process of its own that receives the same task; how they find each other stands in
the variables that torch and accelerate read.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ldmbench.errors import InputError
from ldmbench.execute.process import WorkerProcess
from ldmbench.execute.runner import Event
from ldmbench.schema.task import Task

__all__ = ["Seat", "Team", "check_team"]

GRACE_SECONDS = 5.0
"""After one process failed: how long others may say that they failed first."""


class Seat(NamedTuple):
    """The device of one process.

    Attributes:
        title: what people call it.
        device: its name in the process.
        environment: what makes the process see this device alone.
    """

    title: str
    device: str
    environment: Mapping[str, str]


def check_team(devices: int, there: Sequence[str], cores: int) -> list[str]:
    """Return the devices that train one model.

    Args:
        devices: how many are wanted.
        there: the devices of the machine: of processors any number, GPUs once each.
        cores: of its processor.

    Raises:
        InputError: there are not as many.
    """
    gpus = [name for name in dict.fromkeys(there) if name != "cpu"]
    most, what = (len(gpus), "GPU") if gpus else (cores, "processor core")
    if not 1 <= devices <= most:
        one_to = f"1 to {most}" if most > 1 else "1"
        raise InputError(
            f"--devices {devices}: a model is trained on as many devices of one machine, which has"
            f" {most} {what}{'' if most == 1 else 's'}; allowed: {one_to}"
        )
    return (gpus or ["cpu"] * cores)[:devices]


class Team:
    """Runs one task in several processes and ends them with it.

    Args:
        seats: one for each process.
        log: a file that takes what they print.
    """

    def __init__(self, seats: Sequence[Seat], log: Path) -> None:
        self._seats, self._log = seats, log
        self._processes: list[WorkerProcess] = []
        self._closed = False

    def run(self, task: Task) -> Iterator[Event]:
        """Run a task and yield its events; the first process's speak for all."""
        since, events = time.perf_counter(), queue.Queue[tuple[int, Event]]()
        self._start(task, events)
        failed: dict[int, Event] = {}
        done: dict[int, Event] = {}
        said: set[str] = set()
        try:
            while len(done) < len(self._seats) and not failed:
                rank, event = events.get()
                if event["event"] == "failed":
                    failed[rank] = event
                elif event["event"] == "done":
                    done[rank] = event
                elif event["event"] == "hello":
                    if rank == 0:
                        yield {**event, "seconds": time.perf_counter() - since}
                elif event["event"] == "warning":
                    if event["message"] not in said:
                        said.add(event["message"])
                        yield event
                elif rank == 0:
                    yield event
            yield self._failure(failed, events) if failed else self._done(done)
        finally:
            self._end()

    def close(self) -> None:
        """End the processes."""
        self._closed = True
        self._end()

    def _start(self, task: Task, events: queue.Queue[tuple[int, Event]]) -> None:
        shared = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
            "WORLD_SIZE": str(len(self._seats)),
            "LOCAL_WORLD_SIZE": str(len(self._seats)),
        }
        for rank, seat in enumerate(self._seats):
            place = {"RANK": str(rank), "LOCAL_RANK": "0" if seat.device != "cpu" else str(rank)}
            process = WorkerProcess(
                seat.device,
                self._log,
                title=f"{seat.title} ({rank + 1} of {len(self._seats)})",
                environment={**seat.environment, **shared, **place},
            )
            self._processes.append(process)
            if self._closed:
                process.close()

            def pump(rank: int = rank, process: WorkerProcess = process) -> None:
                for event in process.run(task):
                    events.put((rank, event))

            threading.Thread(target=pump, daemon=True).start()

    def _failure(self, failed: dict[int, Event], events: queue.Queue[tuple[int, Event]]) -> Event:
        """Return why the task failed: a process that died before one that missed it."""
        end = time.monotonic() + GRACE_SECONDS
        while len(failed) < len(self._seats) and (left := end - time.monotonic()) > 0:
            try:
                rank, event = events.get(timeout=left)
            except queue.Empty:
                break
            if event["event"] == "failed":
                failed.setdefault(rank, event)
            if any("trace" not in one for one in failed.values()):
                break
        died = [event for event in failed.values() if "trace" not in event]
        first = (died or [*failed.values()])[0]
        more = f"; the {len(self._seats)} processes that train together ended" if died else ""
        return {**first, "message": f"{first['message']}{more}"}

    def _done(self, done: Mapping[int, Event]) -> Event:
        machine = {**done[0].get("machine", {}), "devices": len(self._seats)}
        return {**done[0], "machine": machine}

    def _end(self) -> None:
        for process in self._processes:
            process.close()
        self._processes = []


def _free_port() -> int:
    """Return a port of this machine at which nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
