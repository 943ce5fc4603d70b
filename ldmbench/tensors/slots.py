"""Where a tensor lies in a file: a type, a shape, and a stretch of bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["BYTES", "Slot", "Storage", "slot"]

BYTES = {
    "bfloat16": 2,
    "bool": 1,
    "complex128": 16,
    "complex64": 8,
    "float16": 2,
    "float32": 4,
    "float64": 8,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "int8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "uint8": 1,
}
"""Types that are read, by torch's names -> bytes of one value."""
_EXPANDED = 1 << 20  # values that a tensor may have beyond its storage's, by strides of 0


class Inside:
    """What lies in a file; a pickle cannot change it once it is made."""

    def __setstate__(self, state: object) -> None:
        """Take no state."""


@dataclass(eq=False)
class Storage(Inside):
    """A stretch of bytes that tensors lie in.

    Attributes:
        dtype: type of its values; None where its tensors say it.
        count: its values (bytes where there is no type).
        offset: of its first byte in the file; -1 until it is known.
        crc: CRC-32 of its bytes, or None where the file does not say it.
    """

    dtype: str | None
    count: int
    offset: int = -1
    crc: int | None = None

    @property
    def size(self) -> int:
        """Return its bytes."""
        return self.count * (BYTES[self.dtype] if self.dtype else 1)


@dataclass(frozen=True, eq=False)
class Slot(Inside):
    """A tensor in a file.

    Attributes:
        dtype: torch's name of its type.
        shape: its sides.
        stride: values from one row to the next, by side.
        start: its first value in the storage.
        storage: the stretch of bytes it lies in.
    """

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    start: int
    storage: Storage

    @property
    def count(self) -> int:
        """Return its values."""
        return math.prod(self.shape)

    @property
    def span(self) -> int:
        """Return how many values of the storage it reaches over."""
        if not self.count:
            return 0
        return 1 + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))

    @property
    def is_whole(self) -> bool:
        """Tell whether it is its storage, value by value."""
        steps = zip(self.shape, self.stride, _dense(self.shape), strict=True)
        dense = all(n == 1 or step == own for n, step, own in steps)
        return dense and self.start == 0 and self.count * BYTES[self.dtype] == self.storage.size


def slot(
    dtype: str,
    shape: tuple[int, ...],
    storage: Storage,
    *,
    stride: tuple[int, ...] | None = None,
    start: int = 0,
) -> Slot:
    """Return a tensor of a storage.

    Raises:
        ValueError: it does not lie in the storage, or no tensor can be so.
    """
    stride = _dense(shape) if stride is None else stride
    numbers = (*shape, *stride, start)
    if dtype not in BYTES:
        raise ValueError(f"it holds a tensor of type {dtype}, which is not read")
    if any(type(n) is not int or n < 0 for n in numbers) or len(shape) != len(stride):
        raise ValueError("it holds a tensor of an impossible shape")
    found = Slot(dtype, shape, stride, start, storage)
    if (start + found.span) * BYTES[dtype] > storage.size:
        raise ValueError(f"it holds a tensor of shape {shape} that does not lie in its storage")
    if found.count * BYTES[dtype] > storage.size + _EXPANDED:
        raise ValueError(f"it holds a tensor of shape {shape}, far more than its storage has")
    return found


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a tensor whose values follow one another."""
    steps = [1]
    for n in reversed(shape[1:]):
        steps.append(steps[-1] * max(n, 1) if type(n) is int else 0)
    return tuple(reversed(steps[: len(shape)]))
