"""The label that stands for no class: whether a model's table has it; no torch."""

from __future__ import annotations

from pathlib import Path

from ldmbench.errors import InputError

__all__ = ["check_null_class"]


def check_null_class(
    label: int, *, kind: str, classes: int | None, known: int | None, path: Path
) -> None:
    """Refuse a label for no class that a model cannot have.

    Args:
        label: as the user says it.
        kind: how the model is conditioned.
        classes: that its labels may have.
        known: its own label for no class; it may be a row beyond the classes.
        path: of the model.

    Raises:
        InputError: the model takes no classes, or its table has no such row.
    """
    if kind != "class" or classes is None:
        raise InputError(
            f"{path} is conditioned on {kind}, not on classes, so it has no null_class; leave it"
            " out"
        )
    rows = classes + (known is not None and known >= classes)
    if not 0 <= label < rows:
        raise InputError(
            f"{path}: null_class is {label}; allowed are 0 to {rows - 1}, the rows of its table"
        )
