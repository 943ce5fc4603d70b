"""Resources -> devices, told without importing torch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import psutil

from ldmbench.errors import InputError
from ldmbench.store.machine import machine, versions

MOST_WORKERS = 4
WORKER_BYTES = 6 * 2**30
"""Memory of the machine for each worker on its processor, before there is one more."""


def speed_machines(devices: Sequence[str]) -> list[dict[str, Any]]:
    """Return what this machine says of itself for each device, as manifests of speeds do.

    Args:
        devices: what workers compute on.
    """
    kinds = dict.fromkeys(device.partition(":")[0] for device in devices)
    names = set(_gpu_names()) if "cuda" in kinds else set()
    named = {"device": names.pop()} if len(names) == 1 else {}  # which of several is not known
    common = {**machine(), "torch": versions().get("torch")}
    return [{**common, "kind": kind, **(named if kind == "cuda" else {})} for kind in kinds]


def devices() -> list[str]:
    """Return the devices that get a worker each: LDMBENCH_DEVICES, else every GPU, else the CPU.

    Small networks leave cores idle, so a CPU gets several workers, which share its cores: up to
    four, as far as cores and memory reach.

    Raises:
        InputError: if LDMBENCH_DEVICES names no device.
    """
    named = os.environ.get("LDMBENCH_DEVICES")
    if named is None:
        return [f"cuda:{i}" for i in range(_gpus())] or ["cpu"] * _cpu_workers()
    chosen = [part.strip() for part in named.split(",") if part.strip()]
    wrong = [d for d in chosen if not re.fullmatch("cpu|mps(:[0-9]+)?|cuda:[0-9]+", d)]
    if wrong or not chosen:
        raise InputError(
            f"LDMBENCH_DEVICES: found '{named}'; allowed: cpu, mps, or a list like cuda:0,cuda:1"
        )
    return chosen


def cores() -> int:
    """Return how many processors this process may use."""
    return int(machine()["cores"] or 1)


def _cpu_workers() -> int:
    fitting = int(psutil.virtual_memory().total) // WORKER_BYTES
    return max(1, min(cores(), fitting, MOST_WORKERS))


def _gpus() -> int:
    """Return how many GPUs the driver shows to this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([part for part in visible.split(",") if part.strip() not in ("", "-1")])
    return len(_gpu_names())


@cache
def _gpu_names() -> list[str]:
    """Return the names of the GPUs that the driver shows, as "GPU 0: NVIDIA H200 (UUID: ...)"."""
    if sys.platform != "linux":
        return []
    try:
        told = subprocess.run(
            ["nvidia-smi", "--list-gpus"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    lines = [line for line in told.stdout.splitlines() if line.startswith("GPU")]
    return [line.partition(": ")[2].partition(" (UUID")[0] for line in lines]
