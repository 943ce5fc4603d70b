"""Class labels that a protocol asks samples for, in place of those of validation images."""

from __future__ import annotations

import numpy as np

from ldmbench.data.batch import Ints
from ldmbench.registry import pick
from ldmbench.seeds import derive_seed

__all__ = ["class_labels"]


def class_labels(rule: str, start: int, stop: int, *, count: int) -> Ints:
    """Return the classes of samples start..stop, int64; sample i's depends on i alone.

    Args:
        rule: "balanced" (0, 1, ..., count - 1, 0, ...) or "random" (drawn evenly).
        start: first sample.
        stop: end.
        count: how many classes there are.

    Raises:
        InputError: if the rule is unknown.
    """
    pick({"balanced": 0, "random": 0}, rule, "rule of class labels")
    if rule == "balanced":
        return np.arange(start, stop, dtype=np.int64) % count
    draws = (np.random.default_rng(derive_seed("classes", i)) for i in range(start, stop))
    return np.array([draw.integers(count) for draw in draws], dtype=np.int64)
