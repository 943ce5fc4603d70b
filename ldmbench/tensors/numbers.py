"""Small tensors of a file as numbers, without torch: what a plan must know of values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ldmbench.errors import InputError
from ldmbench.tensors.slots import BYTES, Slot

__all__ = ["numbers"]

_MOST = 1 << 20
_NARROW = ("float8_e4m3fn", "float8_e5m2")


def numbers(path: Path, slot: Slot) -> NDArray[np.float64] | None:
    """Return the values of a small tensor, float64 (N,); None of types that numpy does not have.

    Args:
        path: the file.
        slot: where they lie; read from its first value on, by its strides.

    Raises:
        InputError: the file ends before them, or the tensor is large.
    """
    if slot.dtype in _NARROW or slot.dtype.startswith("complex"):
        return None
    if slot.span > _MOST:
        raise InputError(f"{path}: a tensor of {slot.span:,} values is no list of numbers")
    width = BYTES[slot.dtype]
    with path.open("rb") as file:
        file.seek(slot.storage.offset + slot.start * width)
        content = file.read(slot.span * width)
    if len(content) != slot.span * width:
        raise InputError(f"{path} is damaged or not whole; get it again")
    if slot.dtype == "bfloat16":  # the upper half of a float32
        high = np.frombuffer(content, "<u2").astype(np.uint32) << 16
        flat = high.view(np.float32).astype(np.float64)
    else:
        flat = np.frombuffer(content, np.dtype(slot.dtype).newbyteorder("<")).astype(np.float64)
    strides = tuple(step * flat.itemsize for step in slot.stride)
    return np.lib.stride_tricks.as_strided(flat, slot.shape, strides).reshape(-1).copy()
