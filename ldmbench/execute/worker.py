"""The worker process: one per device, alive for a whole run, handed tasks over a pipe.

It reads one JSON task per line on stdin and writes one JSON event per line on what was stdout:
hello {machine}, progress {fraction, note}, warning {message}, done {seconds}, failed {message,
trace}, and alive every ten seconds; done has {machine} as well where a task asked for threads of
its own. Whatever libraries print goes to stderr, which the parent keeps in a log. The end of stdin,
which a killed parent leaves behind, ends the process at once.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import queue
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError, LdmbenchError, StoreError
from ldmbench.pipeline import STAGES
from ldmbench.registry import resolve
from ldmbench.schema.task import Task
from ldmbench.store.faults import describe_os_error, errno_of

PROGRESS_SECONDS = 0.2
ALIVE_SECONDS = 10.0


class Wire:
    """Sends events to the parent; progress at most five times a second."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._last = 0.0
        self._lock = threading.Lock()

    def send(self, event: str, **fields: Any) -> None:
        """Send one event."""
        line = json.dumps({"event": event, **fields}) + "\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()

    def progress(self, fraction: float, note: str = "") -> None:
        """Report how far the stage is, from 0 to 1."""
        now = time.monotonic()
        if now - self._last >= PROGRESS_SECONDS or fraction >= 1:
            self._last = now
            self.send("progress", fraction=float(fraction), note=note)

    def beat(self) -> None:
        """Say for ever that this process lives."""
        while True:
            time.sleep(ALIVE_SECONDS)
            self.send("alive")


class Heard(logging.Handler):
    """Sends what a stage has to say of what it found, such as a damaged checkpoint."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(logging.WARNING)
        self._wire = wire

    def emit(self, record: logging.LogRecord) -> None:
        """Send one sentence."""
        self._wire.send("warning", message=record.getMessage())


def main() -> None:
    """Serve tasks until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    wire = Wire(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    threading.Thread(target=wire.beat, daemon=True).start()
    logging.getLogger("ldmbench").addHandler(Heard(wire))

    prepare: Any = resolve("ldmbench.stages.common:prepare")
    machine = prepare(options.device)
    wire.send("hello", machine=machine)
    while True:
        task = Task.model_validate_json(lines.get())
        if task.threads in (None, machine["threads"]):
            serve(task, wire)
        else:
            serve(task, wire, machine=prepare(options.device, threads=task.threads))
            prepare(options.device, threads=machine["threads"])


def _listen(lines: queue.Queue[str]) -> None:
    for line in io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8"):  # whatever the locale is
        lines.put(line)
    os._exit(0)


def serve(task: Task, wire: Wire, **more: Any) -> None:
    """Run one task and report how it ended, with what more there is to say of its end."""
    began = time.perf_counter()
    try:
        run: Any = resolve(STAGES[task.kind].run)
        run(task, wire.progress)
    except Exception as error:
        wrong = isinstance(error, InputError)
        wire.send("failed", message=told(error, task), trace=traceback.format_exc(), wrong=wrong)
    else:
        wire.send("done", seconds=time.perf_counter() - began, **more)


def told(error: Exception, task: Task) -> str:
    """Return one sentence for what went wrong in a stage."""
    cause = error.__cause__ if isinstance(error, StoreError) else error
    if cause and errno_of(cause, Path(task.output)) is not None:
        return describe_os_error(cause, Path(task.output))
    if isinstance(error, LdmbenchError):
        return str(error)
    if _is_memory(error):
        return f"out of memory on {task.device}: lower sample.micro_batch or the model's batch"
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text} ({Path(where.filename).name}:{where.lineno})"


def _is_memory(error: Exception) -> bool:
    """Tell want of memory: Python's, CUDA's by name, and torch's own on a CPU by its words."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "can't allocate memory" in str(error)


if __name__ == "__main__":
    main()
