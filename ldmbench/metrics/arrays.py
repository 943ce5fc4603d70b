"""Arrays at the edge of the room: what comes in is checked once, and refused in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldmbench.errors import InputError

__all__ = ["Array", "as_array", "check_alike", "check_features", "check_finite"]

Array = NDArray[Any]


def as_array(value: object) -> Array:
    """Return a numpy array of `value`: an array, a sequence, or a torch tensor on any device."""
    if hasattr(value, "detach"):
        tensor: Any = value.detach().cpu()
        if not tensor.dtype.is_floating_point or str(tensor.dtype) != "torch.bfloat16":
            return np.asarray(tensor.numpy())
        return np.asarray(tensor.float().numpy())
    return np.asarray(value)


def check_features(value: object, name: str, *, least: int = 2) -> Array:
    """Return features as a C-ordered float32 or float64 array, shape (N, D).

    Args:
        value: array or tensor, any real dtype; float64 stays, all others become float32
            (integers become float64).
        name: what the message calls it.
        least: smallest number of rows that the caller can use.

    Raises:
        InputError: not two-dimensional, no columns, not numbers, NaN or infinite, too few rows.
    """
    found = as_array(value)
    if found.ndim != 2 or found.shape[1] == 0:
        raise InputError(
            f"{name} features have shape {found.shape}; two dimensions are needed, "
            "one row per sample and at least one column"
        )
    if found.dtype.kind not in "fiub":
        raise InputError(f"{name} features have dtype {found.dtype}; real numbers are needed")
    if found.shape[0] < least:
        raise InputError(
            f"{name} features have {found.shape[0]} row(s) but at least {least} are needed; "
            "give more samples"
        )
    if found.dtype.kind != "f":
        found = found.astype(np.float64)
    elif found.dtype.itemsize < 4:
        found = found.astype(np.float32)
    elif found.dtype not in (np.float32, np.float64):
        found = found.astype(np.float64)
    check_finite(found, name)
    return np.ascontiguousarray(found)


def check_finite(array: Array, name: str) -> None:
    """Refuse NaN and infinity, naming the first bad row.

    Raises:
        InputError: a value is NaN or infinite.
    """
    step = max(1, (1 << 22) // max(1, array[:1].size))
    for start in range(0, len(array), step):
        part = array[start : start + step]
        if np.isfinite(part).all():
            continue
        bad = ~np.isfinite(part.reshape(len(part), -1)).all(axis=1)
        raise InputError(
            f"{name} features hold NaN or infinity (first in row {start + int(bad.argmax())}); "
            "look at the images or the extractor that made them"
        )


def check_alike(generated: Array, reference: Array) -> None:
    """Refuse two feature sets of different width.

    Raises:
        InputError: the second axes differ.
    """
    if generated.shape[1] != reference.shape[1]:
        raise InputError(
            f"generated features have {generated.shape[1]} columns and reference features "
            f"{reference.shape[1]}; both must come from the same extractor"
        )
