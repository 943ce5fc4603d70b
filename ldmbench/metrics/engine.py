"""Where products are formed: numpy on the processor, or torch on the device that holds the data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from typing import Any, Protocol, TypeAlias

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array
from ldmbench.metrics.dense import add_gram

__all__ = ["HOST", "Block", "Device", "Engine", "Host", "engine_of"]

Block: TypeAlias = Any
"""A matrix where products are formed: a numpy array, or a tensor of torch."""


class Engine(Protocol):
    """The few operations on blocks that differ between numpy and torch; results are numpy.

    Attributes:
        block: rows and columns of a product.
        chunk: rows that visitors look at at once.
    """

    block: int
    chunk: int

    def put(self, values: Array, dtype: np.dtype[Any] | None = None) -> Block:
        """Return `values` where products are formed, in that precision."""
        ...

    def host(self, values: Block) -> Array:
        """Return a block or a part of one as a numpy array."""
        ...

    def picked(self, gram: Block, mask: Block) -> tuple[Array, Array]:
        """Return flat positions where the mask holds, (P,) int64, and the entries there."""
        ...

    def largest(self, gram: Block, keep: int) -> tuple[Array, Array]:
        """Return columns and entries of the `keep` largest of each row, (rows, keep), unordered."""
        ...

    def totals(self, values: Block) -> Array:
        """Return column sums in float64."""
        ...

    def scatter(self, total: Array, centred: Array) -> None:
        """Add centred' centred of float64 rows to the lower triangle of total, (D, D) float64."""
        ...

    def exact(self) -> AbstractContextManager[object]:
        """Return a context in which float32 products are rounded as float32."""
        ...

    def workers(self) -> int:
        """Return how many blocks may be worked on at once."""
        ...


class Host:
    """Numpy: blocks of 4 MiB, one per core, looked at in pieces that stay in cache."""

    block = 1024
    chunk = 128

    def put(self, values: Array, dtype: np.dtype[Any] | None = None) -> Block:
        """Return the values in that precision."""
        return np.ascontiguousarray(values, dtype=dtype)

    def host(self, values: Block) -> Array:
        """Return the values."""
        return np.asarray(values)

    def picked(self, gram: Block, mask: Block) -> tuple[Array, Array]:
        """Return flat positions where the mask holds, and the entries there."""
        flat = np.flatnonzero(mask)
        return flat, gram.ravel()[flat]

    def largest(self, gram: Block, keep: int) -> tuple[Array, Array]:
        """Return columns and entries of the `keep` largest of each row."""
        if keep == 1:
            columns = gram.argmax(axis=1, keepdims=True)
        else:
            columns = np.argpartition(-gram, keep - 1, axis=1)[:, :keep]
        return columns, np.take_along_axis(gram, columns, axis=1)

    def totals(self, values: Block) -> Array:
        """Return column sums in float64."""
        return np.asarray(values.sum(axis=0, dtype=np.float64))

    def scatter(self, total: Array, centred: Array) -> None:
        """Add centred' centred to the lower triangle."""
        add_gram(total, centred)

    def exact(self) -> AbstractContextManager[object]:
        """Return a context in which each product runs on one core, so that blocks run abreast."""
        try:
            from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
        except ImportError:  # products then use all cores, one after the other
            return nullcontext()
        context: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
        return context

    def workers(self) -> int:
        """Return the number of cores, at most 16."""
        try:
            return min(16, len(os.sched_getaffinity(0)))
        except AttributeError:  # not on every system
            return min(16, os.cpu_count() or 1)


class Device:
    """Torch on one device; large blocks, one at a time.

    Args:
        name: a torch device, "cuda" or "cuda:1"; "cpu" runs the same code without a GPU.
    """

    block = 8192
    chunk = 8192

    def __init__(self, name: str) -> None:
        self._torch: Any = import_module("torch")
        try:
            self._device = self._torch.device(name)
            self._torch.zeros(1, device=self._device)
        except (RuntimeError, AssertionError) as error:
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise InputError(
                f"the device '{name}' cannot be used ({reason}); leave it out to use the processor"
            ) from error

    def put(self, values: Array, dtype: np.dtype[Any] | None = None) -> Block:
        """Return a tensor of the values on the device."""
        held = np.array(values, dtype=dtype, order="C")
        return self._torch.from_numpy(held).to(self._device)

    def host(self, values: Block) -> Array:
        """Return a tensor as a numpy array."""
        return np.asarray(values.cpu().numpy())

    def picked(self, gram: Block, mask: Block) -> tuple[Array, Array]:
        """Return flat positions where the mask holds, and the entries there."""
        flat = mask.flatten().nonzero().flatten()
        return self.host(flat), self.host(gram.flatten()[flat])

    def largest(self, gram: Block, keep: int) -> tuple[Array, Array]:
        """Return columns and entries of the `keep` largest of each row."""
        found = gram.topk(keep, dim=1, sorted=False)
        return self.host(found.indices), self.host(found.values)

    def totals(self, values: Block) -> Array:
        """Return column sums in float64."""
        return self.host(values.sum(0, dtype=self._torch.float64))

    def scatter(self, total: Array, centred: Array) -> None:
        """Add centred' centred."""
        rows = self.put(centred)
        total += self.host(rows.T @ rows)

    @contextmanager
    def exact(self) -> Iterator[None]:
        """Keep the device from rounding float32 products to TensorFloat-32."""
        matmul = self._torch.backends.cuda.matmul
        # torch refuses the old switch once the new one is set
        new = hasattr(matmul, "fp32_precision")
        name: str = "fp32_precision" if new else "allow_tf32"
        exact: Any = "ieee" if new else False
        before = getattr(matmul, name)
        setattr(matmul, name, exact)
        try:
            yield
        finally:
            setattr(matmul, name, before)

    def workers(self) -> int:
        """Return 1: a device runs one block at a time."""
        return 1


HOST: Engine = Host()


def engine_of(*inputs: object, device: str | None = None) -> Engine:
    """Return where the products of these inputs are formed.

    Args:
        inputs: arrays or tensors; a tensor that is on a device keeps its work there.
        device: a torch device that is asked for; None looks at the inputs, "cpu" means numpy.

    Raises:
        InputError: a device that cannot be used.
    """
    if device is None:
        held = [value for value in inputs if hasattr(value, "detach") and hasattr(value, "device")]
        device = next((str(v.device) for v in held if v.device.type in ("cuda", "xpu")), None)
    return HOST if device is None or device == "cpu" else Device(device)
