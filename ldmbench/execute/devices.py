"""Which devices workers compute on: by LDMBENCH_DEVICES, or by what torch finds."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

import psutil

from ldmbench.errors import InputError
from ldmbench.execute.gpus import ON_CPU, Gpu, signs, usable_gpus
from ldmbench.store.machine import machine, versions
from ldmbench.words import plural

__all__ = ["cores", "devices", "gpu_of", "named_devices", "other_gpus", "speed_machines"]

NAMES = "LDMBENCH_DEVICES"
MOST_WORKERS = 4
WORKER_BYTES = 6 * 2**30
"""Memory of the machine for each worker on its processor, before there is one more."""
UNSUPPORTED = {
    "mps": "Apple GPUs (mps) are not supported: they have no float64, which scores need",
    "xpu": "Intel GPUs (xpu) are not supported: ldmbench was never tested on one",
    "hip": "AMD GPUs (ROCm) are not supported: ldmbench was never tested on one",
    "rocm": "AMD GPUs (ROCm) are not supported: ldmbench was never tested on one",
}


def devices() -> list[str]:
    """Return the devices that get a worker each: LDMBENCH_DEVICES, else every GPU, else the CPU.

    Small networks leave cores idle, so a CPU gets several workers, which share its cores: up to
    four, as far as cores and memory reach.

    Raises:
        InputError: if LDMBENCH_DEVICES names what is no device of this machine, or if there are
            GPUs and torch cannot use them.
    """
    named = named_devices()
    if named is None:
        found = [f"cuda:{number}" for number in range(len(usable_gpus(signs())))]
        named = found or ["cpu"] * _cpu_workers()
    for device in named:
        if device != "cpu":
            _refuse_trouble(device, gpu_of(device))
    return named


def named_devices() -> list[str] | None:
    """Return what LDMBENCH_DEVICES names, whether it is here or not; None where it is unset.

    Raises:
        InputError: if it names no device.
    """
    text = os.environ.get(NAMES)
    if text is None:
        return None
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    for name in chosen:
        if name.partition(":")[0] in UNSUPPORTED:
            raise InputError(
                f"{NAMES}: found '{name}'; {UNSUPPORTED[name.partition(':')[0]]}; {ON_CPU}"
            )
    if not chosen or not all(re.fullmatch("cpu|cuda:[0-9]+", name) for name in chosen):
        raise InputError(f"{NAMES}: found '{text}'; allowed: cpu, or a list like cuda:0,cuda:1")
    return chosen


def gpu_of(device: str) -> Gpu:
    """Return the GPU that a name stands for, such as cuda:1, in torch's order.

    Raises:
        InputError: if there is no such GPU, or if torch cannot use it.
    """
    number = int(device.partition(":")[2])
    gpus = usable_gpus(signs() or f"{NAMES} names {device}")
    if number < len(gpus):
        return gpus[number]
    last = f" to cuda:{len(gpus) - 1}" if len(gpus) > 1 else ""
    raise InputError(
        f"{NAMES}: found '{device}', and torch sees {plural(len(gpus), 'GPU')} here;"
        f" allowed: cpu, cuda:0{last}"
    )


def speed_machines(devices: Sequence[str]) -> list[dict[str, object]]:
    """Return what this machine says of itself for each device, as manifests of speeds do.

    Args:
        devices: what workers compute on.
    """
    common = {**machine(), "torch": versions().get("torch")}
    found = []
    for device in dict.fromkeys(devices):
        kind = device.partition(":")[0]
        facts = gpu_of(device).facts if kind == "cuda" else {}
        found.append({**common, "kind": kind, **facts})
    return [here for place, here in enumerate(found) if here not in found[:place]]


def cores() -> int:
    """Return how many processors this process may use."""
    return int(machine()["cores"] or 1)


def other_gpus() -> str | None:
    """Name a GPU of this machine that is never used, for people who wonder why."""
    if sys.platform == "darwin":
        return f"{UNSUPPORTED['mps']}; the processor is used"
    return None


def _cpu_workers() -> int:
    fitting = int(psutil.virtual_memory().total) // WORKER_BYTES
    return max(1, min(cores(), fitting, MOST_WORKERS))


def _refuse_trouble(device: str, gpu: Gpu) -> None:
    if gpu.trouble:
        raise InputError(
            f"torch cannot compute on {device} ({gpu.name}): {gpu.trouble}; name the others with"
            f" {NAMES}, or {ON_CPU}"
        )
