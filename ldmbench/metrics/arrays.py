"""Arrays at the edge of the room: what comes in is checked once, and refused in one sentence."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldmbench.errors import InputError
from ldmbench.words import first_line

__all__ = [
    "Array",
    "as_array",
    "check_alike",
    "check_features",
    "check_finite",
    "check_seed",
    "whole",
]

Array = NDArray[Any]
LARGEST_FEATURE = 1e45  # float32 never gets there; squares and cubes of float64 then stay finite


def as_array(value: object) -> Array:
    """Return a numpy array of `value`: an array, a sequence, or a torch tensor on any device.

    Raises:
        InputError: what numpy cannot read, such as rows of unlike length or a sparse tensor, and
            masked values, which an array cannot leave out.
    """
    masked = int(np.sum(value.mask)) if isinstance(value, np.ma.MaskedArray) else 0
    if masked:
        raise InputError(
            f"a masked array with {masked} masked value(s) was given; leave their rows out, or "
            "fill them"
        )
    try:
        if not hasattr(value, "detach"):
            return np.asarray(value)
        tensor: Any = value.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            tensor = tensor.float()
        return np.asarray(tensor.numpy())
    except (TypeError, ValueError, RuntimeError) as error:  # torch has no class of its own for it
        raise InputError(
            f"a {type(value).__name__} was given that cannot be read as an array of numbers "
            f"({first_line(error)[:80]}); give a dense array or tensor"
        ) from error


def whole(value: object, name: str) -> int:
    """Return a whole number.

    Raises:
        InputError: anything else.
    """
    try:
        return index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise InputError(f"{name} = {value!r} was given; a whole number is needed") from error


def check_seed(value: object) -> int:
    """Return a seed as numpy's RandomState takes it.

    Raises:
        InputError: not a whole number in [0, 2^32).
    """
    seed = whole(value, "seed")
    if not 0 <= seed < 1 << 32:
        raise InputError(f"seed = {seed} was given; seeds lie between 0 and {(1 << 32) - 1}")
    return seed


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
    if type(value).__name__ == "Moments":
        raise InputError(f"{name} moments were given; this measure needs the features themselves")
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
    """Refuse NaN, infinity and what overflows when cubed, naming the first bad row.

    Raises:
        InputError: a value is NaN, infinite or beyond 1e45.
    """
    step = max(1, (1 << 20) // max(1, array[:1].size))
    for start in range(0, len(array), step):
        part = array[start : start + step]
        with np.errstate(invalid="ignore"):
            if float(part.max()) < LARGEST_FEATURE and float(part.min()) > -LARGEST_FEATURE:
                continue
        finite = np.isfinite(part.reshape(len(part), -1)).all(axis=1)
        bad = ~finite if not finite.all() else (np.abs(part) >= LARGEST_FEATURE).any(axis=1)
        found = "NaN or infinity" if not finite.all() else f"values beyond {LARGEST_FEATURE:.0e}"
        raise InputError(
            f"{name} features hold {found} (first in row {start + int(bad.argmax())}); "
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
