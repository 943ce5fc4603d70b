"""What a worker says of an error: one sentence, and whether its device is of use afterwards."""

from __future__ import annotations

import traceback
from pathlib import Path

from ldmbench.errors import LdmbenchError, StoreError, causes, is_out_of_memory
from ldmbench.schema.task import Task
from ldmbench.store.faults import describe_os_error, errno_of

__all__ = ["describe_failure", "device_fault"]

FAULTS = (
    "device-side assert",
    "an illegal memory access",
    "misaligned address",
    "unspecified launch failure",
    "an illegal instruction",
    "invalid program counter",
    "operation not supported on global/shared address space",
    "hardware stack error",
    "uncorrectable ECC error",
    "the launch timed out and was terminated",
    "CUDNN_STATUS_MAPPING_ERROR",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_EXECUTION_FAILED",
)
"""Errors after which every call of CUDA in the same process fails."""


def device_fault(error: BaseException) -> str | None:
    """Return CUDA's words for an error that spoils the process, or nothing."""
    for one in causes(error):
        lines = str(one).splitlines() or [""]
        if any(words in lines[0] for words in FAULTS):
            return lines[0].strip().rstrip(".")
    return None


def describe_failure(error: Exception, task: Task, device: str = "", *, memory: str = "") -> str:
    """Return one sentence for what went wrong in a stage.

    Args:
        error: what it raised.
        task: what it was to do.
        device: what people call the task's device.
        memory: of the device at that time, for an error of memory.
    """
    device = device or task.device
    cause = error.__cause__ if isinstance(error, StoreError) else error
    if cause and errno_of(cause, Path(task.output)) is not None:
        return describe_os_error(cause, Path(task.output))
    if is_out_of_memory(error):
        filled = f" ({memory})" if memory else ""
        return f"out of memory on {device}{filled}: lower sample.micro_batch or the model's batch"
    fault = device_fault(error)
    if fault:
        return (
            f"{device} stopped with '{fault}' (often a class or token that the model does not"
            " have); later stages run in a new worker process"
        )
    if isinstance(error, LdmbenchError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text} ({Path(where.filename).name}:{where.lineno})"
