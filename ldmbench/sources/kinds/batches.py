"""Batches: arrays of pixels with labels in pickles or npz files, read without running any code."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ldmbench.errors import InputError
from ldmbench.sources.images.source import Pixels

__all__ = ["read_batch"]

_PICKLED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
"""What a batch is made of; nothing else in it is called."""


class _Inert(pickle.Unpickler):
    """Reads arrays, numbers and texts alone."""

    def find_class(self, module: str, name: str) -> object:
        """Return what a batch is made of; nothing else is looked up."""
        if (module, name) not in _PICKLED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no batch has")
        return super().find_class(module, name)


def read_batch(file: Path, sides: Sequence[int], *, what: str) -> tuple[Pixels, list[int]]:
    """Return the images of a batch, uint8 (N, side, side, 3), and their labels.

    Args:
        file: a pickle or npz of a mapping: `data`, uint8 (N, 3 side^2) in planes R, G, B, `labels`.
        sides: sides that images may have.
        what: the data set, for messages.

    Raises:
        InputError: the file is no such batch, or names code.
    """
    try:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as found:
                data, labels = found["data"], found["labels"].tolist()
        else:
            found = _Inert(io.BytesIO(file.read_bytes()), encoding="latin1").load()
            data, labels = np.asarray(found["data"]), [int(label) for label in found["labels"]]
    except Exception as error:  # pickles of foreign bytes raise nearly anything
        raise InputError(f"{file}: not a readable batch of {what} ({error}); fetch it") from None
    widths = {3 * side * side: side for side in sides}
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] not in widths:
        allowed = " or ".join(f"(N, {width})" for width in widths)
        raise InputError(f"{file}: data is {data.dtype} {data.shape}; a batch is uint8 {allowed}")
    if len(data) != len(labels):
        raise InputError(
            f"{file}: {len(data)} images with {len(labels)} labels; a batch has one for each image"
        )
    side = widths[data.shape[1]]
    return np.ascontiguousarray(data.reshape(-1, 3, side, side).transpose(0, 2, 3, 1)), labels
