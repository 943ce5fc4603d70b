"""Energy of a callable from NVML's counters, or the reason why it cannot be read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from ldmbench.speed.timer import synchronize

__all__ = ["Energy", "measure_energy"]

SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Energy:
    """Energy of the whole device during a call, other processes on it included.

    Attributes:
        joules: None where it cannot be read.
        seconds: how long the call took; None where it was not made, for want of a counter.
        method: "nvml_total" (the device's own counter), "nvml_power" (power sampled and
            integrated) or "".
        reason: why `joules` is None.
    """

    joules: float | None
    seconds: float | None
    method: str = ""
    reason: str | None = None


def measure_energy(call: Callable[[], object], *, device: str | torch.device = "cpu") -> Energy:
    """Call `call` once where energy can be read; a second or more, since the counters are slow."""
    place = torch.device(device)
    if place.type != "cuda":
        return Energy(None, None, reason=f"no energy counter is read for a {place.type} device")
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:
        return Energy(None, _timed(call, place), reason=f"NVML is not available: {error}")
    try:
        return _with_nvml(pynvml, call, place)
    finally:
        pynvml.nvmlShutdown()


def _with_nvml(nvml: Any, call: Callable[[], object], device: torch.device) -> Energy:
    try:
        handle = _handle(nvml, device)
        before = nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError as error:
        return _from_power(nvml, call, device, str(error))
    seconds = _timed(call, device)
    millijoules = nvml.nvmlDeviceGetTotalEnergyConsumption(handle) - before
    return Energy(millijoules / 1000, seconds, "nvml_total")


def _from_power(nvml: Any, call: Callable[[], object], device: torch.device, why: str) -> Energy:
    """Integrate sampled power by the trapezoidal rule."""
    readings: list[tuple[float, float]] = []
    done = threading.Event()
    try:
        handle = _handle(nvml, device)
        nvml.nvmlDeviceGetPowerUsage(handle)
    except nvml.NVMLError as error:
        reason = f"NVML reads neither energy ({why}) nor power ({error}) of this device"
        return Energy(None, _timed(call, device), reason=reason)

    def read() -> None:
        readings.append((time.perf_counter(), nvml.nvmlDeviceGetPowerUsage(handle) / 1000))

    def watch() -> None:
        while not done.wait(SAMPLE_SECONDS):
            read()

    read()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        seconds = _timed(call, device)
    finally:
        done.set()
        watcher.join()
    read()
    joules = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(readings))
    return Energy(joules, seconds, "nvml_power")


def _handle(nvml: Any, device: torch.device) -> Any:
    """Return NVML's handle of torch's device, found by its UUID: the two number devices apart."""
    index = device.index if device.index is not None else torch.cuda.current_device()
    uuid = str(torch.cuda.get_device_properties(index).uuid)
    return nvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")


def _timed(call: Callable[[], object], device: torch.device) -> float:
    synchronize(device)
    began = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - began
