"""Code of a user's own, made in a worker: the one that was planned, by its digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ldmbench.data.batch import Batch
from ldmbench.data.own import own_batch
from ldmbench.errors import InputError
from ldmbench.plugin_files import Noun
from ldmbench.plugins import make
from ldmbench.schema.local import Code
from ldmbench.schema.params import CallSource, DatasetParams
from ldmbench.schema.task import Task
from ldmbench.sources.digests import plugin_digest


def made_of(code: Code, noun: Noun) -> Any:
    """Return what a target makes, if its source is still the one that was planned.

    Args:
        code: what a plan says of it.
        noun: what it is to be.

    Raises:
        InputError: it has changed, or cannot be made.
    """
    name, folder = code.target, Path(code.folder)
    if plugin_digest(name, folder, noun=noun, files=code.files) != code.digest:
        raise InputError(f"{name} has changed since the run was planned; run again")
    return make(name, folder, code.options, noun)


def own_images(task: Task[DatasetParams], source: CallSource, shard: tuple[int, int]) -> Batch:
    """Return images [start, stop) of the user's own dataset, fewer at the end of a split.

    Prompts and truth are validation images, repeated without end where their number is known.
    """
    code, held = task.local.call, source.held
    assert code is not None
    split, indices = task.params.split, np.arange(*shard)
    if split in ("prompts", "truth"):
        split, indices = "validation", indices % held if held else indices
    elif held:
        indices = indices[indices < held]
    return own_batch(
        made_of(code, "datasets"),
        indices,
        split=split,
        resolution=source.resolution,
        classes=source.classes,
        title=code.target,
    )
