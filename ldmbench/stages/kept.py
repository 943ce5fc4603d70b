"""What a worker keeps of references between tasks: many cells are held to one."""

from __future__ import annotations

from typing import Any

from ldmbench.data.remembered import stamp_of
from ldmbench.schema.task import TaskInput

__all__ = ["kept_of"]

REFERENCES = 2
"""References that are kept at once."""
_KEPT: dict[object, dict[object, Any]] = {}


def kept_of(reference: TaskInput, rows: str) -> dict[object, Any]:
    """Return what this process found of a reference before: moments, radii, kernel sums.

    Args:
        reference: its features.
        rows: which of their arrays: features or spatial.
    """
    made = tuple((f, stamp_of(f / f"{rows}.npy")) for f in reference.folders)
    name = (made, reference.start, reference.stop, rows)
    if name not in _KEPT:
        while len(_KEPT) >= REFERENCES:
            _KEPT.pop(next(iter(_KEPT)))
        _KEPT[name] = {}
    return _KEPT[name]
