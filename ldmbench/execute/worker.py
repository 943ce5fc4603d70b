"""The worker process: one per device, alive for a whole run, handed tasks over a pipe.

It reads one JSON task per line on stdin and writes one JSON event per line on what was stdout:
hello {machine}, progress {fraction, note}, warning {message}, done {seconds, machine}, failed
{message, trace, wrong, ends}, and alive every ten seconds. `ends` says that the device is of no use
in this process any more: the parent ends it and starts another. Whatever libraries print goes to
stderr, which the parent keeps in a log. The end of stdin, which a killed parent leaves behind, ends
the process at once.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import queue
import shutil
import sys
import threading
import time
import traceback
from typing import Any

from ldmbench.errors import InputError, is_out_of_memory
from ldmbench.execute.failures import describe_failure, device_fault
from ldmbench.pipeline import STAGES
from ldmbench.registry import resolve
from ldmbench.schema.task import Task
from ldmbench.words import first_line, plural

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
        """Send `alive` every ten seconds, without end."""
        while True:
            time.sleep(ALIVE_SECONDS)
            self.send("alive")


class Warnings(logging.Handler):
    """Sends warnings of stages to the parent, such as of a damaged checkpoint."""

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
    parser.add_argument("--title", help="what people call the device")
    options = parser.parse_args()
    wire = Wire(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    threading.Thread(target=wire.beat, daemon=True).start()
    logging.getLogger("ldmbench").addHandler(Warnings(wire))

    prepare: Any = resolve("ldmbench.stages.common:prepare")
    machine = prepare(options.device)
    wire.send("hello", machine=machine)
    while True:
        task = Task.model_validate_json(lines.get())
        ready = prepare(task.device, threads=task.threads or machine["threads"])
        serve(task, wire, title=options.title, machine=ready)


def _listen(lines: queue.Queue[str]) -> None:
    for line in io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8"):  # whatever the locale is
        lines.put(line)
    os._exit(0)


def serve(task: Task, wire: Wire, *, title: str | None = None, **more: object) -> None:
    """Run one task and report how it ended.

    A task that runs out of memory is run again, after all that stayed from earlier tasks is
    removed. An error after which CUDA is of no use in this process is said to be one (`ends`).

    Args:
        task: what to do.
        wire: takes the events.
        title: what people call the task's device.
        more: what else to say with `done`.
    """
    device = title or task.device
    began = time.perf_counter()
    error = _attempt(task, wire)
    if error is not None and is_out_of_memory(error) and task.devices == 1:
        filled = _memory(task)
        error = None  # its traceback holds what the stage had in memory
        _free(task, wire, f"{device} ({filled})")
        error = _attempt(task, wire)
    if error is None:
        wire.send("done", seconds=time.perf_counter() - began, **more)
        return
    fault, full = device_fault(error), is_out_of_memory(error)
    wire.send(
        "failed",
        message=describe_failure(error, task, device, memory=_memory(task) if full else ""),
        trace="".join(traceback.format_exception(error)),
        wrong=isinstance(error, InputError) and not fault and not full,
        ends=fault is not None,
    )


def _attempt(task: Task, wire: Wire) -> Exception | None:
    """Run a task; return what it raised. Kernels that still run are waited for."""
    wait_for: Any = resolve("ldmbench.tensors.device:wait_for")
    try:
        run: Any = resolve(STAGES[task.kind].run)
        run(task, wire.progress)
        wait_for(task.device)
    except Exception as error:
        return error
    return None


def _free(task: Task, wire: Wire, memory: str) -> None:
    """Remove all that stayed in a memory that is full, and what the task wrote."""
    let_go: Any = resolve("ldmbench.stages.common:let_go")
    kept = plural(let_go(), "model")
    wire.send(
        "warning",
        message=f"out of memory on {memory}; {kept} of earlier stages removed, and the stage runs"
        " once more",
    )
    for shard in task.shards:
        shutil.rmtree(shard.output, ignore_errors=True)
        shard.output.mkdir(parents=True, exist_ok=True)


def _memory(task: Task) -> str:
    """Say what lies in the memory of a task's device; a device that failed may not answer."""
    in_words: Any = resolve("ldmbench.tensors.device:memory_in_words")
    try:
        return str(in_words(task.device))
    except RuntimeError as error:
        return first_line(error)


if __name__ == "__main__":
    main()
