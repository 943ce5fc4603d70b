"""Cells as people read them: which fields vary, and what a row is called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from ldmbench.catalog.tasks import TASKS
from ldmbench.schema.record import Record
from ldmbench.schema.stage import Cell

__all__ = [
    "IDENTITY",
    "SEEDS",
    "by_task",
    "heading_of",
    "identity",
    "identity_of",
    "one_step_unit",
    "seedless",
    "series",
    "shared_fields",
    "variant",
    "varying",
    "way",
]

IDENTITY = {
    "conditioning": "Task",
    "dataset": "Dataset",
    "sampler": "Sampler",
    "steps": "Steps",
    "eta": "η",
    "guidance": "Guidance",
    "guidance_interval": "Guidance interval",
    "guidance_model": "Guided by",
    "progress": "Checkpoint",
    "train_seed": "Train seed",
    "sample_seed": "Sample seed",
    "count": "Samples",
    "size": "Size",
    "timesteps": "Timesteps",
    "quantize": "Quantisation",
    "precision": "Sampling dtype",
}
"""Fields that tell the rows of one model apart, with their headings."""

UNSAID = {"guidance_interval": "all", "guidance_model": "itself", "size": "1"}
"""What a field that is null means, where it is not a model's own rule."""

SEEDS = ("train_seed", "sample_seed")
"""Fields of the identity that only draw anew what is measured."""


def heading_of(name: str, records: Sequence[Record]) -> str:
    """Return the heading of an identity field: steps that are evaluations are called so."""
    counted = name == "steps" and {r.cell.step_unit for r in records if r.cell.is_sampled} == {
        "evaluations"
    }
    return "Evaluations" if counted else IDENTITY[name]


def one_step_unit(records: Iterable[Record]) -> bool:
    """Tell whether the steps of all cells count the same."""
    return len({r.cell.step_unit for r in records if r.cell.is_sampled}) < 2


def series(cell: Cell) -> str:
    """Return what a line of a figure and a row's name are: the model with its swept fields.

    The seed of the denoiser's training is a field of its own, so that seeds of one model stay
    together.
    """
    names = ("train_seed", "denoiser.train_seed")
    return _without(cell.model, {n: v for n, v in cell.axes.items() if n in names})


def seedless(cell: Cell) -> str:
    """Return the series without the seed of any training, the first stage's too."""
    seeds = {n: v for n, v in cell.axes.items() if n.rpartition(".")[2] == "train_seed"}
    return _without(cell.model, seeds)


def _without(title: str, axes: Mapping[str, object]) -> str:
    """Return a title such as ldm[f=4,train_seed=1] without some of its axes."""
    for name, value in axes.items():
        part = re.escape(f"{name}={written(value)}")
        title = re.sub(rf"\[{part}\]", "", title)
        title = re.sub(rf"(?<=\[){part},|,{part}(?=[,\]])", "", title)
    return title


def varying(records: Sequence[Record], *, always: Sequence[str] = ("steps",)) -> list[str]:
    """Return the identity fields that differ between the cells, and those `always` shown."""
    shown = always if any(r.cell.is_sampled for r in records) else ()
    return [
        name
        for name in IDENTITY
        if name in shown or len({_field(r.cell, name) for r in records}) > 1
    ]


def shared_fields(records: Sequence[Record]) -> dict[str, str]:
    """Return heading -> value of the identity fields that all cells share."""
    if not records:
        return {}
    vary = varying(records, always=())
    cell = records[0].cell
    shared = {heading_of(n, records): _field(cell, n) for n in IDENTITY if n not in vary}
    return {heading: written(value) for heading, value in shared.items() if value is not None}


def identity_of(cell: Cell, vary: Sequence[str]) -> dict[str, str]:
    """Return the varying fields of a cell but its dataset, as they are written."""
    return {n: _shown(cell, n) for n in vary if n != "dataset"}


def way(fields: Mapping[str, str]) -> str:
    """Write fields of `identity` one after the other, as in "ddim, 50 steps, Guidance 2"."""
    steps = "{}" if " " in fields.get("steps", "") else "{} steps"  # or "4 evaluations"
    plain = {"sampler": "{}", "steps": steps, "count": "{} samples"}
    return ", ".join(plain.get(n, IDENTITY[n] + " {}").format(v) for n, v in fields.items())


def variant(cell: Cell, vary: Sequence[str]) -> str:
    """Return the series and the varying fields but the steps: one line of the sample browser."""
    fields = {n: text for n, text in identity_of(cell, vary).items() if n != "steps"}
    return ", ".join(filter(None, [series(cell), way(fields)]))


def identity(cell: Cell, vary: Sequence[str], *, plain: bool = False) -> list[str]:
    """Return the texts of a row's leading columns: the series, then the varying fields.

    Args:
        cell: of the row.
        vary: the fields.
        plain: steps are a number, whose heading says what they count.
    """
    return [
        series(cell),
        *(
            written(cell.steps) if n == "steps" and plain and cell.is_sampled else _shown(cell, n)
            for n in vary
        ),
    ]


def written(value: object) -> str:
    """Write one field: floats without trailing zeros, a rule that is a model's own as such."""
    if value is None:
        return "own"
    if isinstance(value, tuple):
        return " to ".join(map(written, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(cell: Cell, name: str) -> str:
    value = _field(cell, name)
    if value is None and not cell.is_sampled:
        return "–"
    if name == "steps" and cell.step_unit != "steps":
        return f"{value} {cell.step_unit}"
    return UNSAID[name] if name in UNSAID and value is None else written(value)


def _field(cell: Cell, name: str) -> object:
    """Return a field of the identity; the arithmetic, which only a sweep states, is an axis."""
    if name == "conditioning":
        task = TASKS.get(cell.conditioning or "")
        return task.label if task else cell.conditioning
    return cell.axes.get(name) if name == "precision" else getattr(cell, name)


def by_task(records: Sequence[Record]) -> list[Record]:
    """Return records in the order of tasks; those of one task stay in theirs."""
    place = {name: i for i, name in enumerate(TASKS)}
    return sorted(records, key=lambda r: place.get(r.cell.conditioning or "", len(place)))
