"""What a worker keeps of references between tasks: many cells are compared with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ldmbench.canonical import stamp_of
from ldmbench.schema.task import TaskInput
from ldmbench.stages.common import resident

__all__ = ["kept_of"]

REFERENCES = 2
"""References that are kept at once."""


def kept_of(reference: TaskInput, rows: str) -> dict[object, Any]:
    """Return what this process found of a reference before: moments, radii, kernel sums.

    Args:
        reference: its features.
        rows: which of their arrays: features or spatial.
    """
    made = tuple((f, stamp_of((f / f"{rows}.npy").stat())) for f in reference.folders)
    return _kept(made, reference.start, reference.stop, rows)


@resident(REFERENCES)
def _kept(
    made: tuple[tuple[Path, object], ...], start: int, stop: int, rows: str
) -> dict[object, Any]:
    """Return the one dictionary of a reference, empty at first."""
    return {}
