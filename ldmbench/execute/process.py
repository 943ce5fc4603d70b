"""A worker process on this machine, and the events it sends."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ldmbench.execute.gpus import VISIBLE
from ldmbench.execute.runner import Event
from ldmbench.schema.task import Task
from ldmbench.store.faults import make_room

__all__ = ["WorkerProcess"]

COMMAND = (sys.executable, "-P", "-m", "ldmbench.execute.worker")
"""Without the current folder on its path: names of files there are not names of modules."""
SILENCE_SECONDS = 60.0
"""Six missed events `alive`; then a warning is sent."""


class WorkerProcess:
    """A process that runs tasks, started when the first comes and again after a crash.

    Args:
        device: what it computes on; one on the processor sees no GPU.
        log: a file that takes what it and its libraries print.
        title: what people call the device, which the process may number otherwise.
        environment: variables that it has and this process has not; empty text removes one.
        silence: seconds without an event until a warning is sent.
    """

    def __init__(
        self,
        device: str,
        log: Path,
        *,
        title: str = "",
        environment: Mapping[str, str] | None = None,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self.device, self.log, self.silence = device, log, silence
        self.title = title or device
        hidden = {VISIBLE: "-1"} if device == "cpu" else {}
        self._environment = {**os.environ, **hidden, **(environment or {})}
        self._process: subprocess.Popen[str] | None = None
        self._events: queue.Queue[Event | None] = queue.Queue()
        self._closed = False

    def run(self, task: Task) -> Iterator[Event]:
        """Run a task and yield its events; a process that dies is a failed task."""
        try:
            yield from self._ensure()
            assert self._process is not None
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it is dead: the end of its events says so
                self._process.stdin.write(task.model_dump_json() + "\n")
                self._process.stdin.flush()
            yield from self._listen(task)
        except _DiedError as died:
            yield {"event": "failed", "message": str(died)}

    def close(self) -> None:
        """End the process."""
        self._closed = True
        self._end()

    def rest(self) -> None:
        """End the process; the next task starts another."""
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()

    def _ensure(self) -> Iterator[Event]:
        if self._process is not None and self._process.poll() is None:
            return
        since = time.perf_counter()
        self._end()
        self._events = queue.Queue()
        self._process = self._start()
        for event in self._receive():
            if event["event"] == "hello":
                yield {**event, "seconds": time.perf_counter() - since}
                return
            yield event

    def _start(self) -> subprocess.Popen[str]:
        make_room(self.log)
        with self.log.open("a", encoding="utf-8") as log:
            process = subprocess.Popen(
                [*COMMAND, "--device", self.device, "--title", self.title],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                start_new_session=True,
                env={name: value for name, value in self._environment.items() if value},
            )
        threading.Thread(target=_read, args=(process, self._events), daemon=True).start()
        return process

    def _listen(self, task: Task) -> Iterator[Event]:
        for event in self._receive():
            if event["event"] == "failed":
                self._write_log(f"{task.kind} {task.key}\n{event['trace']}\n")
                if event.get("ends"):  # CUDA is of no use there; the next task starts another
                    self._end()
            yield event
            if event["event"] in ("done", "failed"):
                return

    def _write_log(self, text: str) -> None:
        full = contextlib.suppress(OSError)  # a disk, say
        with full, self.log.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(text)

    def _receive(self) -> Iterator[Event]:
        """Yield the process's events, and one warning in every long time without any."""
        assert self._process is not None
        timeout: float | None = self.silence
        while True:
            try:
                event = self._events.get(timeout=timeout)
            except queue.Empty:
                timeout = None
                yield {"event": "warning", "message": self._silence_warning()}
                continue
            if event is None:
                raise _DiedError("stopped" if self._closed else self._death_message())
            timeout = self.silence
            if event["event"] != "alive":
                yield event

    def _silence_warning(self) -> str:
        assert self._process is not None
        pid = self._process.pid
        return (
            f"the worker process {pid} on {self.title} has not responded for"
            f" {self.silence:.0f} s (stopped, or swapping memory); still waiting:"
            f" `kill -CONT {pid}` continues it, `kill -KILL {pid}` ends it and fails its stage"
        )

    def _death_message(self) -> str:
        assert self._process is not None
        code, which = self._process.wait(), f"the worker process on {self.title}"
        if code == -signal.SIGKILL:
            return f"{which} was killed (signal 9), perhaps because memory ran out"
        if code < 0:
            return f"{which} died of {_signal_name(-code)}; see {self.log}"
        return f"{which} ended with code {code}; see {self.log}"


class _DiedError(Exception):
    """The process is no more; the message is what a person reads."""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _read(process: subprocess.Popen[str], events: queue.Queue[Event | None]) -> None:
    assert process.stdout is not None
    try:
        with process.stdout as lines:  # closed by its reader: to close one that is read can hang
            for line in lines:
                with contextlib.suppress(json.JSONDecodeError):  # cut short by the process's death
                    events.put(json.loads(line))
    finally:
        events.put(None)
