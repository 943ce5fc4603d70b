"""Features of samples, reference and validation images in several spaces, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ldmbench.schema.task import Task
from ldmbench.stages.common import rows_of

__all__ = ["spaces_of"]


def spaces_of(task: Task, name: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Yield the features of each space; no two spaces need be in memory together.

    Args:
        task: its inputs are generated, reference and perhaps validation, and the same with a
            number behind a colon for each further space.
        name: of the file of features.
    """
    for number in range(sum(role.partition(":")[0] == "generated" for role in task.inputs)):
        end = f":{number}" if number else ""
        there = f"validation{end}" in task.inputs
        generated, reference, validation = (
            rows_of(task.inputs[f"{role}{end}"], name).all()
            if role != "validation" or there
            else None
            for role in ("generated", "reference", "validation")
        )
        assert generated is not None
        assert reference is not None
        yield generated, reference, validation
