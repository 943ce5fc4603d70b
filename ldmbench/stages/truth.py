"""Real images as the condition of a task: read from the shards of a dataset."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from ldmbench.models.tasks import Truth
from ldmbench.schema.task import TaskInput
from ldmbench.stages.common import rows_of

PARTS = ("images", "labels", "boxes", "box_labels", "masks")


class Truths:
    """What a dataset knows of its images, read when it is needed.

    Args:
        found: an input that holds images.
        first: the item at which it starts.
    """

    def __init__(self, found: TaskInput, first: int = 0) -> None:
        folder = found.folders[0]
        self._parts = {
            name: rows_of(found, f"{name}.npy")
            for name in PARTS
            if (folder / f"{name}.npy").exists()
        }
        self._captions, self._first = captions_of(found), first

    def at(self, rows: NDArray[np.int64]) -> Truth:
        """Return what is known of some images, counted from the start of the input."""
        parts = {name: found.read(rows) for name, found in self._parts.items()}
        captions = tuple(self._captions[i] for i in rows)
        return Truth(indices=rows + self._first, captions=captions, **parts)

    @property
    def objects(self) -> int:
        """The most boxes of an image; 0 where there are none."""
        if "boxes" not in self._parts:
            return 0
        return int(self._parts["boxes"].read(np.zeros(1, np.int64)).shape[1])


def captions_of(found: TaskInput) -> list[str]:
    """Return the captions of an input, from its start on."""
    texts: list[str] = []
    for folder in found.folders:
        texts += json.loads((folder / "captions.json").read_text("utf-8"))
    return texts[found.start - found.first :]
