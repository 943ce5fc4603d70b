"""What torch computes on: its name, its software, what lies there, and whether it still answers."""

from __future__ import annotations

from typing import Any

import psutil
import torch

from ldmbench.errors import InputError
from ldmbench.processor import processor_name
from ldmbench.words import first_line

__all__ = [
    "describe",
    "device_name",
    "memory_in_words",
    "software_in_words",
    "usable_device",
    "wait_for",
]

GIB = 2**30


def device_name(device: torch.device) -> str:
    """Return what people call a device: the GPU's name, or the CPU's and its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor_name()} x {torch.get_num_threads()} threads"


def usable_device(name: str | torch.device) -> torch.device:
    """Return a device by its name, if torch can compute on it here.

    Raises:
        InputError: if it is no name of a device, or if there is no such device.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        count = torch.cuda.device_count()
        there = ", ".join(["cpu", *(f"cuda:{number}" for number in range(count))])
        raise InputError(
            f"device: found '{name}'; allowed here: {there} ({first_line(error)})"
        ) from None
    return device


def describe(device: str) -> dict[str, Any]:
    """Return a device's kind and name, as manifests have them.

    Of a GPU also what else decides its speed: compute capability, driver, CUDA, cuDNN and the build
    of torch.
    """
    place = torch.device(device)
    found: dict[str, Any] = {"device": device_name(place), "kind": place.type, "cuda": None}
    if place.type != "cuda":
        return found
    cudnn: Any = torch.backends.cudnn
    return {
        **found,
        "capability": "{}.{}".format(*torch.cuda.get_device_capability(place)),
        "driver": _driver_version(),
        "cuda": torch.version.cuda,
        "cudnn": cudnn.version(),
        "torch_build": torch.__version__,
    }


def software_in_words(device: str) -> str:
    """Say what a GPU computes with, and how; of a processor the versions of libraries say it."""
    found = describe(device)
    if found["kind"] != "cuda":
        return ""
    return (
        f"driver {found['driver']}, CUDA {found['cuda']}, cuDNN {found['cudnn']}, torch"
        f" {found['torch_build']}, TF32 off, deterministic convolutions"
    )


def _driver_version() -> str | None:
    """Return the version of the NVIDIA driver, where NVML tells it."""
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            return str(pynvml.nvmlSystemGetDriverVersion())
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # no library, no permission, a device without NVML
        return None


def memory_in_words(device: str) -> str:
    """Say what lies in a device's memory: of this process, and of others."""
    place = torch.device(device)
    if place.type != "cuda":
        return f"this process holds {psutil.Process().memory_info().rss / GIB:.1f} GiB"
    free, total = torch.cuda.mem_get_info(place)
    tensors, reserved = torch.cuda.memory_allocated(place), torch.cuda.memory_reserved(place)
    return (
        f"tensors of this process fill {tensors / GIB:.1f} of its {reserved / GIB:.1f} GiB,"
        f" {free / GIB:.1f} of {total / GIB:.1f} GiB are free, and the rest is of other processes"
    )


def wait_for(device: str) -> None:
    """Wait until a GPU has done all it was given; errors of its kernels are raised here."""
    place = torch.device(device)
    if place.type == "cuda":
        torch.cuda.synchronize(place)
