"""Published rows: figures that others printed, shown beside measured ones and never compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ldmbench.published.pairing import Measured, corresponds, differences
from ldmbench.published.rows import Row, published
from ldmbench.report.cells import series
from ldmbench.report.quantities import (
    QUANTITIES,
    embedded_evaluators,
    number,
    quantity_of,
    with_interval,
)
from ldmbench.schema.record import Extras, Record, Score
from ldmbench.schema.signature import Signature

__all__ = ["CAUTION", "Beside", "Line", "beside"]

CAUTION = (
    "Rows marked “published” are printed by their authors, not measured here. They are for the "
    "eye: no interval, machine or reference image is shared with the measured rows, so no best is "
    "marked and nothing is compared."
)

_ELSEWHERE = ("a100_throughput", "printed_days")
"""Published measures of other machines: shown, but no measured row has them."""
_LABELS = {"a100_throughput": "Images/s, A100", "printed_days": "V100 days"}


SHOWN = (
    "source",
    "table",
    "task",
    "model",
    "sampler",
    "steps",
    "guidance_scale",
    "n_samples",
    "note",
)
"""Columns that the published numbers of one line have in common."""


@dataclass(frozen=True)
class Printed:
    """Published rows of one line: the first of them, quantity -> printed text, what differs."""

    row: Row
    values: Mapping[str, str]
    differs: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """One row of a side by side table; measured rows have a cell, published ones a source.

    Attributes:
        suspect: the note of a published row says that a printed number is probably wrong.
        differs: where a published row's protocol differs from that of the cells.
    """

    measured: bool
    model: str
    how: str
    n: str
    values: tuple[str, ...]
    source: str
    note: str = ""
    cell: str = ""
    suspect: bool = False
    differs: str = ""


@dataclass(frozen=True)
class Beside:
    """Measured and published rows of one dataset under one protocol."""

    dataset: str
    protocol: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]


def beside(records: Sequence[Record], extras: Extras) -> tuple[Beside, ...]:
    """Return, per dataset and protocol, measured rows and the published ones that correspond.

    `published/pairing.py` says which do. Scores of the embedded evaluators never match. Of each
    measured model the cells with most steps are shown.
    """
    sides = {p.dataset: p.side for p in extras.pictures if p.title.startswith("real/")}
    found: list[Beside] = []
    for dataset in dict.fromkeys(r.cell.dataset for r in records):
        mine = [r for r in records if r.cell.dataset == dataset and r.status == "done"]
        for protocol in dict.fromkeys(s.protocol for r in mine for s in _real(r)):
            alike = [r for r in mine if r.cell.size is None]  # rows are of the training side
            cells = [_measured(r, protocol, sides.get(dataset)) for r in alike]
            rows = [row for row in published() if any(corresponds(row, cell) for cell in cells)]
            if rows:
                found.append(_table(dataset, protocol, mine, _printed(rows, cells)))
    return tuple(found)


def _real(record: Record) -> list[Score]:
    """Return the scores that no embedded evaluator made."""
    return [s for s in record.scores if s.protocol and not embedded_evaluators(s.signature)]


def _measured(record: Record, protocol: str, side: int | None) -> Measured:
    """Return what of a record decides which rows stand beside it."""
    cell = record.cell
    size = re.search(r"(64|128|256|512|1024)$", cell.dataset)
    return Measured(
        conditioning=cell.conditioning,
        datasets=(cell.dataset, *([cell.data_kind] if cell.data_kind else ())),
        resolution=cell.resolution or side or (int(size.group()) if size else None),
        protocol=protocol,
        f=cell.f,
        regularization=cell.regularization,
        signatures={
            s.name: Signature.parse(s.signature).fields
            for s in _real(record)
            if s.protocol == protocol
        },
    )


def _printed(rows: Sequence[Row], cells: Sequence[Measured]) -> list[Printed]:
    """Return the rows of one model under one way of sampling as one printed line each."""
    lines: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        shown = [getattr(row, name) for name in SHOWN]
        lines.setdefault(tuple(shown), []).append(row)
    return [
        Printed(
            same[0],
            {str(row.quantity): _value(row) for row in same},
            tuple(dict.fromkeys(part for row in same for part in differences(row, cells))),
        )
        for same in lines.values()
    ]


def _value(row: Row) -> str:
    return f"{row.printed} ± {row.uncertainty}" if row.uncertainty else row.printed


def _table(
    dataset: str, protocol: str, records: Sequence[Record], printed: Sequence[Printed]
) -> Beside:
    scored = [r for r in records if any(s.protocol == protocol for s in _real(r))]
    here = {s.name for r in scored for s in _real(r) if s.protocol == protocol}
    names = [n for n in _order(printed) if n in here or n in _ELSEWHERE]
    rows = [p for p in printed if any(n in p.values and n not in _ELSEWHERE for n in names)]
    names = [n for n in names if n in here or any(n in p.values for p in rows)]
    return Beside(
        dataset,
        protocol,
        tuple(_LABELS.get(n) or quantity_of(n).axis for n in names),
        (*_ours(scored, protocol, names), *(_theirs(p, names) for p in rows)),
    )


def _order(printed: Sequence[Printed]) -> list[str]:
    there = {name for p in printed for name in p.values}
    return [name for name in (*QUANTITIES, *_ELSEWHERE) if name in there]


def _ours(records: Sequence[Record], protocol: str, names: Sequence[str]) -> list[Line]:
    most: dict[str, int] = {}
    for r in records:
        most[series(r.cell)] = max(r.cell.steps or 0, most.get(series(r.cell), 0))
    lines = []
    for r in records:
        cell, scores = r.cell, {s.name: s for s in _real(r) if s.protocol == protocol}
        if (cell.steps or 0) != most[series(cell)]:
            continue
        how = "first stage alone"
        if cell.sampler is not None:
            how = _how(cell.sampler, str(cell.steps), f"{cell.guidance:g}")
        values = tuple(_text(scores.get(name)) for name in names)
        n = max((s.n for s in scores.values()), default=0)
        lines.append(Line(True, series(cell), how, f"{n:,}", values, "measured here", cell=cell.id))
    return lines


def _text(score: Score | None) -> str:
    if score is None or score.value is None:
        return ""
    text, spread = with_interval(score.value, score.low, score.high)
    return f"{text} ± {spread}" if spread else number(score.value)


def _theirs(printed: Printed, names: Sequence[str]) -> Line:
    row = printed.row
    how = [row.task, _how(row.sampler, row.steps, row.guidance_scale)]
    return Line(
        measured=False,
        model=row.model,
        how=", ".join(part for part in how if part),
        n=f"{int(row.n_samples):,}" if row.n_samples.isdecimal() else row.n_samples,
        values=tuple(printed.values.get(name, "") for name in names),
        source=f"{row.source}, {row.table}",
        note=row.note,
        suspect=row.suspect,
        differs="; ".join(printed.differs),
    )


def _how(sampler: str, steps: str, guidance: str) -> str:
    parts = [sampler, f"{steps} steps" if steps.isdecimal() else steps]
    parts += [f"guidance {guidance}"] if guidance and guidance != "1" else []
    return ", ".join(part for part in parts if part)
