"""Cells as people read them: which fields vary, and what a row is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ldmbench.schema.record import Record
from ldmbench.schema.stage import Cell

__all__ = ["IDENTITY", "identity", "series", "shared_fields", "variant", "varying"]

IDENTITY = {
    "dataset": "Dataset",
    "sampler": "Sampler",
    "steps": "Steps",
    "eta": "η",
    "guidance": "Guidance",
    "progress": "Progress",
    "train_seed": "Train seed",
    "sample_seed": "Sample seed",
    "count": "Samples",
    "timesteps": "Timesteps",
    "quantize": "Quantisation",
    "precision": "Arithmetic",
}
"""Fields that tell the rows of one model apart, with their headings."""


def series(cell: Cell) -> str:
    """Return what a line of a figure and a row's name are: the model with its swept fields."""
    return cell.model


def varying(records: Sequence[Record], *, always: Sequence[str] = ("steps",)) -> list[str]:
    """Return the identity fields that differ between the cells, and those `always` shown."""
    return [
        name
        for name in IDENTITY
        if name in always or len({_field(r.cell, name) for r in records}) > 1
    ]


def shared_fields(records: Sequence[Record]) -> dict[str, str]:
    """Return heading -> value of the identity fields that all cells share."""
    if not records:
        return {}
    vary = varying(records, always=())
    cell = records[0].cell
    shared = {h: _field(cell, n) for n, h in IDENTITY.items() if n not in vary}
    return {heading: written(value) for heading, value in shared.items() if value is not None}


def variant(cell: Cell, vary: Sequence[str], *, but: Sequence[str] = ()) -> str:
    """Return the series and the varying fields except `but`: what one line of a figure joins."""
    parts = [
        f"{IDENTITY[n]} {written(_field(cell, n))}"
        for n in vary
        if n not in but and n not in ("dataset", "steps", "count")
    ]
    return ", ".join([series(cell), *parts])


def identity(cell: Cell, vary: Sequence[str]) -> list[str]:
    """Return the texts of a row's leading columns: the series, then the varying fields."""
    return [series(cell), *(written(_field(cell, n)) for n in vary)]


def written(value: object) -> str:
    """Write one field: floats without trailing zeros, a rule that is a model's own as such."""
    if value is None:
        return "own"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _field(cell: Cell, name: str) -> Any:
    """Return a field of the identity; the arithmetic, which only a sweep states, is an axis."""
    return cell.axes.get(name) if name == "precision" else getattr(cell, name)
