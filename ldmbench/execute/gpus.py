"""GPUs of this machine: what points to one, and what torch says of them in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.store.machine import versions
from ldmbench.words import plural

__all__ = ["ON_CPU", "VISIBLE", "Answer", "Gpu", "answer", "signs", "usable_gpus"]

VISIBLE = "CUDA_VISIBLE_DEVICES"
ON_CPU = "set LDMBENCH_DEVICES=cpu to run on the processor"
COMMAND = (sys.executable, "-P", "-m", "ldmbench.execute.probe")
PROBE_SECONDS = 120.0
"""Importing torch takes seconds, and waking eight GPUs half a minute."""
DRIVER_FILES = ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/dxg")
"""What a driver shows on servers, on Jetson and in WSL."""
UNTESTED = {"ROCm": "AMD GPUs", "XPU": "Intel GPUs"}


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG instance of one.

    Attributes:
        facts: device (its name), driver, CUDA and so on, as a worker on it says them.
        memory: bytes.
        visible: the value of CUDA_VISIBLE_DEVICES with which a process sees this one alone.
        trouble: why torch cannot compute on it; None where it can.
    """

    facts: Mapping[str, Any]
    memory: int = 0
    visible: str = ""
    trouble: str | None = None

    @property
    def name(self) -> str:
        """What torch calls it."""
        return str(self.facts["device"])


@dataclass(frozen=True)
class Answer:
    """What torch says of this machine.

    Attributes:
        version: of torch, with its build.
        built_for: "CUDA 13.2", "ROCm 6.4", "XPU 2025", or "" for processors alone.
        gpus: in torch's order.
        reason: why there is none, in torch's words.
    """

    version: str = ""
    built_for: str = ""
    gpus: tuple[Gpu, ...] = ()
    reason: str | None = None


def signs() -> str:
    """Say what points to a GPU here, or nothing where nothing does; torch is not asked."""
    visible = os.environ.get(VISIBLE)
    if visible is not None:  # without an entry it hides them all
        return f"{VISIBLE} is '{visible}'" if _entries(visible) else ""
    listed = _listed()
    if listed:
        return f"nvidia-smi lists {plural(listed, 'GPU')}"
    files = [file for file in DRIVER_FILES if Path(file).exists()]
    if files:
        return f"{files[0]} is there"
    build = versions().get("torch", "").partition("+")[2]
    return f"torch is a build for {build}" if build.startswith(("rocm", "xpu")) else ""


@cache
def answer() -> Answer:
    """Ask torch once, in a process that ends with its answer; each MIG instance has its own."""
    reply = _ask(None)
    if not reply.get("parts"):
        return _read(reply, _visible_entries())
    with ThreadPoolExecutor() as pool:
        each = [_read(one, (part,)) for part, one in zip(reply["parts"], _ask_all(pool, reply))]
    gpus = tuple(gpu for one in each for gpu in one.gpus)
    reason = next((one.reason for one in each if one.reason), None)
    return Answer(reply["version"], reply["built_for"], gpus, reason)


def usable_gpus(why: str) -> tuple[Gpu, ...]:
    """Return the GPUs of this machine, in torch's order; none where nothing points to one.

    Args:
        why: what points to a GPU, as the beginning of a sentence; torch is not asked without.

    Raises:
        InputError: torch can use none; says why and what would work.
    """
    if not why:
        return ()
    found = answer()
    untested = next((UNTESTED[kind] for kind in UNTESTED if found.built_for.startswith(kind)), None)
    if untested and found.gpus:
        raise InputError(
            f"torch {found.version} is built for {found.built_for} and finds {found.gpus[0].name}:"
            f" ldmbench does not support {untested}, on which it was never tested; {ON_CPU}"
        )
    if not found.gpus and not (untested and why == signs()):
        raise InputError(_unusable(why, found))
    return found.gpus


def _unusable(why: str, found: Answer) -> str:
    """Say in one sentence why what points to a GPU leads to none, and what would work."""
    torch = f"torch {found.version}" if found.version else "torch"
    mend = f"correct or unset {VISIBLE}, or " if VISIBLE in os.environ else ""
    if found.reason is None and not found.built_for:
        return (
            f"{why}, but {torch} is built for processors alone; {mend}install a build for CUDA"
            f" (https://pytorch.org/get-started/locally), or {ON_CPU}"
        )
    built = f" (built for {found.built_for})" if found.built_for else ""
    return (
        f"{why}, but {torch}{built} can use no GPU: {found.reason or 'it finds none'};"
        f" {mend}{ON_CPU}"
    )


def _ask_all(pool: ThreadPoolExecutor, reply: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    return list(pool.map(_ask, reply["parts"]))


def _ask(visible: str | None) -> dict[str, Any]:
    """Return what the probe prints where CUDA_VISIBLE_DEVICES is as given, or as it is here."""
    environment = {**os.environ, **({VISIBLE: visible} if visible else {})}
    try:
        done = subprocess.run(
            COMMAND,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PROBE_SECONDS,
            check=False,
            env=environment,
        )
        reply: dict[str, object] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return {"reason": f"it gave no answer within {PROBE_SECONDS:.0f} s"}
    except ValueError:
        lines = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
        return {"reason": f"the process that asks it ended with: {lines[-1][:300]}"}
    return reply


def _read(reply: Mapping[str, Any], visible: Sequence[str]) -> Answer:
    """Return an answer, each GPU with its entry of CUDA_VISIBLE_DEVICES."""
    found = reply.get("gpus", ())
    entries = [*visible[: len(found)], *map(str, range(len(visible), len(found)))]
    gpus = tuple(
        Gpu(one["facts"], one.get("memory", 0), entry, _sentence(one.get("trouble")))
        for one, entry in zip(found, entries)
    )
    version, built_for = reply.get("version", ""), reply.get("built_for", "")
    return Answer(version, built_for, gpus, _sentence(reply.get("reason")))


def _sentence(text: str | None) -> str | None:
    """Return the first line of an error, without the stop and the advice that follow it."""
    if text is None:
        return None
    line = next((line for line in text.splitlines() if line.strip()), "it gave no reason")
    return line.partition(" Please ")[0].strip().rstrip(".")


def _visible_entries() -> tuple[str, ...]:
    return _entries(os.environ.get(VISIBLE, ""))


def _entries(visible: str) -> tuple[str, ...]:
    return tuple(e for part in visible.split(",") if (e := part.strip()) not in ("", "-1"))


@cache
def _listed() -> int:
    """Return how many GPUs nvidia-smi lists."""
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        found = subprocess.run(
            ["nvidia-smi", "--list-gpus"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU") for line in found.stdout.splitlines())
