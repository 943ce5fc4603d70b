"""Contexts of captions on disk: what a frozen text encoder made of them, (L, D) each.

A shard holds each of its captions once, and which of them every image has. The first context of
each shard is that of the empty caption.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ldmbench.data.batch import Ints
from ldmbench.data.shards import ArrayShards, write_array
from ldmbench.errors import StoreError

__all__ = ["ROWS", "ContextShards", "distinct", "write_contexts"]

CONTEXTS, ROWS = "contexts.npy", "rows.npy"

Array = npt.NDArray[Any]


def distinct(captions: Sequence[str]) -> tuple[list[str], Ints]:
    """Return the captions of a shard, each once and the empty one first, and the row of each image.

    Examples:
        >>> distinct(["a cat", "", "a cat"])
        (['', 'a cat'], array([1, 0, 1]))
    """
    texts = list(dict.fromkeys(["", *captions]))
    row = {text: number for number, text in enumerate(texts)}
    return texts, np.array([row[text] for text in captions], np.int64)


def write_contexts(folder: Path, contexts: Array, rows: Ints) -> None:
    """Write one shard.

    Args:
        folder: of the shard.
        contexts: of the texts that `distinct` returned, (n, L, D) float32.
        rows: of the images, int64 (N,).

    Raises:
        StoreError: if the folder cannot be written.
    """
    write_array(folder / CONTEXTS, contexts.astype("<f4", copy=False))
    write_array(folder / ROWS, rows.astype("<i8", copy=False))


class ContextShards(ArrayShards):
    """Contexts of the captions of images [start, stop), memory-mapped; arguments as ArrayShards'.

    `read` returns float32 (N, L, D).
    """

    def __init__(
        self, folders: Sequence[Path], *, start: int, stop: int, first: int, size: int
    ) -> None:
        view = {"start": start, "stop": stop, "first": first, "size": size}
        super().__init__(folders, ROWS, **view)
        self._contexts = ArrayShards(folders, CONTEXTS, **view)

    @property
    def null(self) -> Array:
        """Return the context of the empty caption, float32 (L, D)."""
        found: Array = np.array(self._contexts._shard((self.start - self.first) // self.size)[0])
        return found

    def _rows(self, k: int, rows: Ints) -> Array:
        at = super()._rows(k, rows)
        contexts = self._contexts._shard(k)
        if at.max() >= len(contexts):
            raise StoreError(
                f"{self.folders[k] / CONTEXTS}: has {len(contexts)} contexts, number {at.max()} is"
                " needed; remove its folder and run again"
            )
        found: Array = np.asarray(contexts[at])
        return found
