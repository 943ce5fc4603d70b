"""Host: lives on a node of a cluster, keeps a worker process there and passes on its events."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ldmbench.canonical import digest
from ldmbench.errors import InputError
from ldmbench.execute.devices import speed_machines
from ldmbench.execute.gpus import VISIBLE, signs, usable_gpus
from ldmbench.execute.process import WorkerProcess
from ldmbench.execute.runner import Event
from ldmbench.execute.team import Seat, Team
from ldmbench.pipeline import STAGES
from ldmbench.schema.task import Task
from ldmbench.store.artifact import MANIFEST
from ldmbench.store.machine import code_digest, machine, versions

__all__ = ["Host", "code_here", "files_of", "look", "read_soon", "settle"]

SETTLE_SECONDS = 60.0
"""A network file system may show another node's files late, by the age of its cached listing."""


class Host:
    """One device of one node; made by the cluster and called over the network.

    Args:
        device: what its worker process computes on.
        log: a file in the shared store for what the worker prints.
        environment: variables of the process that began the run; they rule over the node's.
        folder: where the run was begun; used when the node has it too.
        threads: processors it was given; unless the environment says otherwise, torch uses them.
        devices: how many it has, which train one model together.
    """

    def __init__(
        self,
        device: str,
        log: str,
        *,
        environment: Mapping[str, str],
        folder: str,
        threads: int,
        devices: int = 1,
    ) -> None:
        if Path(folder).is_dir():
            os.chdir(folder)
        each = max(1, threads // devices) if threads else ""
        given = {"OMP_NUM_THREADS": str(each), **environment}
        self._process: WorkerProcess | Team = WorkerProcess(device, Path(log), environment=given)
        if devices > 1:
            gpus = os.environ.get(VISIBLE, "").split(",") if device != "cpu" else [""] * devices
            shown = [{VISIBLE: gpu} if gpu else {} for gpu in gpus]
            seats = [Seat(device, device, {**given, **own}) for own in shown]
            self._process = Team(seats, Path(log))

    def node(self) -> str:
        """Return the name of the node it lives on."""
        return socket.gethostname()

    def run(self, task: str) -> Iterator[Event]:
        """Run a task (JSON) and yield its events; the last one lists what it wrote."""
        asked = Task.model_validate_json(task)
        missing = _missing(asked)
        if missing:
            yield {"event": "failed", "message": f"{socket.gethostname()} cannot see {missing}"}
            return
        for event in self._process.run(asked):
            if event["event"] == "hello":
                here = {**machine(), **event["machine"]}
                yield {**event, "machine": here, "versions": versions()}
            elif event["event"] == "done":
                written = [files_of(shard.output) for shard in asked.shards]
                yield {**event, "files": written}
            else:
                yield event


def look(question: str, answer: str, kinds: Sequence[str]) -> dict[str, Any]:
    """Say what this node is, and whether it reads and writes the same store.

    Args:
        question: a file whose content is to be found.
        answer: a file that is to be written with the same content.
        kinds: of devices that the run computes on: cpu, cuda.
    """
    text, trouble = read_soon(Path(question)), ""
    try:
        Path(answer).write_text(text, encoding="utf-8")
    except OSError as error:
        trouble = error.strerror or str(error)
    machines, unusable = _machines(kinds)
    return {
        "node": socket.gethostname(),
        "text": text,
        "trouble": trouble,
        "machines": machines,
        "unusable": unusable,
        "versions": versions(),
        "code": code_here(),
    }


def _machines(kinds: Sequence[str]) -> tuple[list[dict[str, object]], str]:
    """Return whose speeds count on this node, and why its GPUs cannot be used."""
    if not os.environ.get(VISIBLE):
        os.environ.pop(VISIBLE, None)  # Ray hides all GPUs from what asks for none
    names = ["cpu"] if "cpu" in kinds else []
    try:
        if "cuda" in kinds:
            names += [f"cuda:{number}" for number in range(len(usable_gpus(signs())))]
        return speed_machines(names), ""
    except InputError as error:
        return [], str(error)


def code_here() -> str:
    """Return one digest of all the code that makes outputs."""
    return digest({kind: code_digest(kind) for kind in STAGES})[:16]


def files_of(folder: Path) -> dict[str, int]:
    """Return file -> bytes, for all files under a folder."""
    return {
        p.relative_to(folder).as_posix(): p.stat().st_size
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def settle(folder: Path, files: Mapping[str, int], *, patience: float = SETTLE_SECONDS) -> bool:
    """Wait until a folder shows the files that another node wrote; return whether it does."""
    end = time.monotonic() + patience
    while files_of(folder) != dict(files):
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def _missing(task: Task) -> Path | None:
    """Wait for what a task reads and writes; return what does not appear."""
    found = [given for shard in task.shards for given in shard.inputs.values()]
    read = [folder / MANIFEST for given in found for folder in given.folders]
    written = [path for shard in task.shards for path in (shard.output, shard.scratch)]
    for path in (*read, *written):
        end = time.monotonic() + SETTLE_SECONDS
        while not path.exists():
            if time.monotonic() > end:
                return path
            time.sleep(0.2)
    return None


def read_soon(path: Path, *, patience: float = 10.0) -> str:
    """Return a small file's text, or nothing if it does not appear."""
    end = time.monotonic() + patience
    while True:
        try:
            text = path.read_text("utf-8")
        except OSError:
            text = ""
        if text or time.monotonic() > end:
            return text
        time.sleep(0.2)
