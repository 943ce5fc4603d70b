"""The process that asks torch which GPUs it can use: prints one JSON object and ends.

It holds, beside `version` and `built_for` of torch: `gpus`, one object for each with its facts,
memory in bytes and what failed when it computed; `parts`, the names (UUIDs) of MIG instances and of
whole GPUs beside them, where there are any; and `reason`, why there is no GPU. Nothing heavy is
imported where torch cannot have a GPU.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import runpy
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ldmbench.registry import resolve

DRIVER = "libcuda.so.1"


def look() -> dict[str, Any]:
    """Return what torch says of the GPUs that this process may see."""
    version, built_for = torch_build()
    found: dict[str, object] = {
        "version": version,
        "built_for": built_for,
        "gpus": [],
        "parts": [],
        "reason": None,
    }
    if built_for == "":
        return found
    if built_for.startswith("CUDA") and not _has_driver():
        return {**found, "reason": f"the NVIDIA driver's library {DRIVER} is not there"}
    torch = import_module("torch")
    if built_for.startswith("XPU"):
        names = [torch.xpu.get_device_name(i) for i in range(torch.xpu.device_count())]
        return {**found, "gpus": [{"facts": {"device": name}} for name in names]}
    try:
        torch.cuda.init()
    except (AssertionError, RuntimeError) as error:
        return {**found, "reason": str(error)}
    found["gpus"] = [_gpu(torch, number) for number in range(torch.cuda.device_count())]
    found["parts"] = list(_parts())
    return found


def torch_build() -> tuple[str, str]:
    """Return torch's version, and what it is built for: "CUDA 13.2", "ROCm 6.4", "XPU" or ""."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return "", ""
    said = runpy.run_path(str(Path(spec.origin).with_name("version.py")))
    kinds = {"CUDA": said.get("cuda"), "ROCm": said.get("hip"), "XPU": said.get("xpu")}
    built_for = next((f"{kind} {number}" for kind, number in kinds.items() if number), "")
    return str(said["__version__"]), built_for


def _has_driver() -> bool:
    if sys.platform != "linux":
        return True  # torch will say
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True


def _gpu(torch: Any, number: int) -> dict[str, Any]:
    device, trouble = f"cuda:{number}", None
    describe: Any = resolve("ldmbench.tensors.device:describe")
    numerics: Any = resolve("ldmbench.tensors.numerics:numerics")
    try:
        torch.ones(1, device=device).add_(1).item()
    except RuntimeError as error:
        trouble = str(error)
    memory = torch.cuda.get_device_properties(device).total_memory
    facts = {**describe(device), **numerics()}
    return {"facts": facts, "memory": memory, "trouble": trouble}


def _parts() -> Iterator[str]:
    """Yield UUIDs of MIG instances and of GPUs without, if any GPU of this process is divided.

    CUDA shows a process one instance alone, so each needs a process that is given its name.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        entries = [part.strip() for part in named.split(",")]
        if len(entries) > 1 and all(entry.startswith("MIG-") for entry in entries):
            yield from entries
        return
    with contextlib.suppress(Exception):  # NVML is not everywhere; then nothing is divided
        nvml = import_module("pynvml")
        nvml.nvmlInit()
        whole, instances = [], []
        for number in range(nvml.nvmlDeviceGetCount()):
            gpu = nvml.nvmlDeviceGetHandleByIndex(number)
            made = list(_instances(nvml, gpu))
            instances += made
            whole += [] if made else [str(nvml.nvmlDeviceGetUUID(gpu))]
        if instances:
            yield from (*whole, *instances)


def _instances(nvml: Any, gpu: Any) -> Iterator[str]:
    with contextlib.suppress(nvml.NVMLError):  # not every GPU can be divided
        if nvml.nvmlDeviceGetMigMode(gpu)[0] != 1:
            return
        for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
            with contextlib.suppress(nvml.NVMLError):  # a place that no instance takes
                instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, place)
                yield str(nvml.nvmlDeviceGetUUID(instance))


def main() -> None:
    """Print the answer; whatever libraries print goes to stderr."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with answer:
        json.dump(look(), answer)


if __name__ == "__main__":
    main()
