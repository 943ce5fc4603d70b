"""Code of a user's own, made in a worker: the one that was planned, by its digest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ldmbench.data.batch import Batch
from ldmbench.data.own import own_batch
from ldmbench.errors import InputError
from ldmbench.plugin_files import Noun
from ldmbench.plugins import make
from ldmbench.schema.data import DatasetParams
from ldmbench.schema.task import Task
from ldmbench.sources.digests import plugin_digest


def made_of(told: Mapping[str, Any], noun: Noun) -> Any:
    """Return what a target makes, if its source is still the one that was planned.

    Args:
        told: target, folder, digest, options, files.
        noun: what it is to be.

    Raises:
        InputError: it has changed, or cannot be made.
    """
    name, folder = told["target"], Path(told["folder"])
    if plugin_digest(name, folder, noun=noun, files=told["files"]) != told["digest"]:
        raise InputError(f"{name} has changed since the run was planned; run again")
    return make(name, folder, told["options"], noun)


def own_images(task: Task, params: DatasetParams, shard: tuple[int, int]) -> Batch:
    """Return images [start, stop) of the user's own dataset, fewer at the end of a split.

    Prompts and truth are validation images, repeated without end where their number is known.
    """
    source, split, indices = params.source, params.split, np.arange(*shard)
    held, classes, side = (int(source[name] or 0) for name in ("held", "classes", "resolution"))
    if split in ("prompts", "truth"):
        split, indices = "validation", indices % held if held else indices
    elif held:
        indices = indices[indices < held]
    return own_batch(
        made_of(task.local["call"], "datasets"),
        indices,
        split=split,
        resolution=side,
        classes=classes or None,
        title=task.local["call"]["target"],
    )
