"""What stages share: the device, loaded models, micro-batches, reading inputs."""

from __future__ import annotations

import gc
import os
import platform
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from ldmbench.data.contexts import ROWS, ContextShards
from ldmbench.data.shards import ArrayShards, ImageShards, files_allowed
from ldmbench.data.windows import patches_in_turn
from ldmbench.models.autoencoder import load_first_stage
from ldmbench.models.model import Model
from ldmbench.schema.sample import factors_of
from ldmbench.schema.task import Task, TaskInput
from ldmbench.tensors.device import describe
from ldmbench.tensors.numerics import numerics

Report: TypeAlias = Callable[[float, str], None]
Pixels: TypeAlias = npt.NDArray[np.uint8]
P = ParamSpec("P")
T = TypeVar("T")

_residents: list[OrderedDict[object, Any]] = []


def prepare(device: str, *, threads: int | None = None) -> dict[str, object]:
    """Make this process ready to compute, and say what it computes on; call it before each task.

    Code of others may have changed what a process has one of: flags, defaults, the current device.
    """
    files_allowed(most=True)
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    rounding = numerics()
    if device.startswith("cuda"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.cuda.set_device(torch.device(device))  # what "cuda" means in code of others
    return {
        **describe(device),
        **(rounding if device.startswith("cuda") else {}),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
    }


def resident(most: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make the last `most` results of a function stay in this worker until `let_go`.

    Whatever outlives a task (models, evaluators) stays through this alone: what else lay on a GPU
    would count in the peak memory of every model that is measured after it. The one used longest
    ago goes before another is made, so that no more than `most` are ever in memory.
    """

    def staying(make: Callable[P, T]) -> Callable[P, T]:
        held: OrderedDict[object, T] = OrderedDict()
        _residents.append(held)

        @wraps(make)
        def found(*args: P.args, **kwargs: P.kwargs) -> T:
            key = (args, tuple(sorted(kwargs.items())))
            if key in held:
                held.move_to_end(key)
                return held[key]
            while len(held) >= most:
                held.popitem(last=False)
                gc.collect()  # a model may refer to itself
            made = held[key] = make(*args, **kwargs)
            return made

        return found

    return staying


def let_go() -> int:
    """Give back the memory of all that stayed; return how many things that were."""
    count = sum(map(len, _residents))
    for held in _residents:
        held.clear()
    gc.collect()
    torch.cuda.empty_cache()
    return count


@resident(4)
def autoencoder_at(folder: Path, device: str) -> Model:
    """Return the first stage of an artefact; content-addressed, so its path names it."""
    return load_first_stage(folder, device=device)


def images_of(task: Task, role: str = "images") -> ImageShards:
    """Return the images of one input: those of the task's shard, or all that are named."""
    found = task.inputs[role]
    return ImageShards(found.folders, **_view(found, "labels.npy"))


def pixels_of(task: Task, images: ImageShards, patches: str) -> Pixels:
    """Return the images of a task's shard as evaluators see them: whole, or in one patch each."""
    rows = np.arange(len(images))
    pixels = images.images(rows)
    if patches == "1":
        return pixels
    return patches_in_turn(pixels, rows + task.inputs["images"].start, factors_of(patches))


def rows_of(found: TaskInput, name: str) -> ArrayShards:
    """Return the rows of one named array of an input."""
    return ArrayShards(found.folders, name, **_view(found, name))


def contexts_of(found: TaskInput) -> ContextShards:
    """Return the contexts of the captions of an input."""
    return ContextShards(found.folders, **_view(found, ROWS))


def _view(found: TaskInput, name: str) -> dict[str, int]:
    """Return which rows of one named array an input is, and how they lie in shards.

    It ends where the array does: the last shard of a finite source may be short.
    """
    last = np.load(found.folders[-1] / name, mmap_mode="r", allow_pickle=False)
    end = found.first + found.shard * (len(found.folders) - 1) + len(last)
    stop = min(found.stop, end)
    return {"start": found.start, "stop": stop, "first": found.first, "size": found.shard}


def chunks(count: int, size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the indices 0..count in runs of `size`; the last is padded with its own last index."""
    for start in range(0, count, size):
        yield np.minimum(np.arange(start, start + size), count - 1)


def to_tensor(images: Pixels, device: str) -> torch.Tensor:
    """Return NCHW float32 in [-1, 1] from uint8 NHWC."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def report_progress(report: Report, done: int, count: int, noun: str) -> None:
    """Report progress through `count` things."""
    report(done / max(count, 1), f"{done:,} of {count:,} {noun}")
