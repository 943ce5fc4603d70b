"""Conditions of samples: captions and classes of images, or the classes a protocol asks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ldmbench.data.batch import Ints
from ldmbench.data.shards import write_array
from ldmbench.registry import pick
from ldmbench.seeds import derive_seed
from ldmbench.sources.images.source import ImageFile

__all__ = ["class_labels", "with_captions", "write_conditions"]


def class_labels(rule: str, start: int, stop: int, *, count: int, seed: int = 0) -> Ints:
    """Return the classes of samples start..stop, int64; sample i's depends on (seed, i) alone.

    Args:
        rule: "balanced" (0, 1, ..., count - 1, 0, ...) or "random" (drawn evenly).
        start: first sample.
        stop: end.
        count: how many classes there are.
        seed: of the samples; each draws classes of its own. Balanced ones have none.

    Raises:
        InputError: if the rule is unknown.
    """
    pick({"balanced": 0, "random": 0}, rule, "rule of class labels")
    if rule == "balanced":
        return np.arange(start, stop, dtype=np.int64) % count
    of = (seed,) if seed else ()  # seed 0 was not named once, and its classes stay
    draws = (np.random.default_rng(derive_seed("classes", *of, i)) for i in range(start, stop))
    return np.array([draw.integers(count) for draw in draws], dtype=np.int64)


def write_conditions(folder: Path, captions: Sequence[str], labels: Ints) -> None:
    """Write the conditions of samples: captions.json and labels.npy, one of each per sample."""
    write_array(folder / "labels.npy", labels.astype(np.int64))
    (folder / "captions.json").write_text(json.dumps(list(captions), ensure_ascii=False), "utf-8")


def with_captions(files: Sequence[ImageFile], table: str | None) -> Sequence[ImageFile]:
    """Return images with the captions of a JSON file, name -> caption, in place of their own.

    Images beyond those that are scored may have none.
    """
    if table is None:
        return files
    found = json.loads(Path(table).read_text("utf-8"))
    return [replace(file, caption=found.get(file.name, ""), text=None) for file in files]
