"""Peak memory of a callable: the most that tensors held at once, weights included.

On CUDA it is what torch's allocator says (max_memory_allocated). A CPU has no such counter, so
every operator is watched: what it reads (weights, inputs) and what it makes counts until it is
freed. That number does not depend on the machine, on its load or on what the process held before;
scratch space inside an operator is not in it.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["PeakMemory", "peak_memory"]


@dataclass(frozen=True)
class PeakMemory:
    """Bytes at the peak, and how they were read."""

    bytes: int
    method: Literal["cuda_max_allocated", "live_tensors"]


def peak_memory(call: Callable[[], object], *, device: str | torch.device = "cpu") -> PeakMemory:
    """Call `call` once and return the peak of its memory."""
    place = torch.device(device)
    gc.collect()
    if place.type == "cuda":
        return _on_cuda(call, place)
    return _on_cpu(call)


def _on_cuda(call: Callable[[], object], device: torch.device) -> PeakMemory:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    torch.cuda.synchronize(device)
    return PeakMemory(torch.cuda.max_memory_allocated(device), "cuda_max_allocated")


def _on_cpu(call: Callable[[], object]) -> PeakMemory:
    # Reference cycles would hold tensors until the collector happens to run; it must not happen.
    collects, live = gc.isenabled(), _Live()
    gc.disable()
    try:
        with live:
            call()
    finally:
        live.forget()
        if collects:
            gc.enable()
    return PeakMemory(live.peak, "live_tensors")


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the storages that operators read and make.

    Attributes:
        peak: the most bytes that were live at once.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._known: dict[int, weakref.finalize[Any, Any]] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Run one operator and count the storages at both its ends."""
        named = dict(kwargs or {})
        self._count((args, named))
        out = func(*args, **named)
        self._count(out)
        return out

    def forget(self) -> None:
        """Follow no storage any longer."""
        for ending in self._known.values():
            ending.detach()
        self._known.clear()

    def _count(self, values: object) -> None:
        for value in tree_leaves(values):
            if not isinstance(value, torch.Tensor):
                continue
            storage = value.untyped_storage()
            name, size = storage._cdata, storage.nbytes()
            if name in self._known:
                continue
            # An address may be used again, so it is known only as long as what lies there.
            self._known[name] = weakref.finalize(storage, self._freed, name, size)
            self._now += size
            self.peak = max(self.peak, self._now)

    def _freed(self, name: int, size: int) -> None:
        self._known.pop(name, None)
        self._now -= size
