"""Real images as the condition of a task: read from the shards of a dataset."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from ldmbench.models.tasks import Truth
from ldmbench.schema.task import TaskInput
from ldmbench.stages.common import rows_of

PARTS = ("images", "labels", "boxes", "box_labels", "masks")


def truth_of(found: TaskInput, rows: NDArray[np.int64], first: int = 0) -> Truth:
    """Return what a dataset knows of some of its images.

    Args:
        found: an input that holds images.
        rows: which, from the start of the input.
        first: the item at which the input starts.
    """
    held = [name for name in PARTS if (found.folders[0] / f"{name}.npy").exists()]
    parts = {name: rows_of(found, f"{name}.npy").read(rows) for name in held}
    captions = captions_of(found)
    return Truth(indices=rows + first, captions=tuple(captions[i] for i in rows), **parts)


def captions_of(found: TaskInput) -> list[str]:
    """Return the captions of an input, from its start on."""
    texts: list[str] = []
    for folder in found.folders:
        texts += json.loads((folder / "captions.json").read_text("utf-8"))
    return texts[found.start - found.first :]
