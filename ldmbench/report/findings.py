"""Findings: the few sentences that answer a suite's question, per dataset, from its records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ldmbench.report.cells import series
from ldmbench.report.points import headline
from ldmbench.report.quantities import embedded_evaluators
from ldmbench.report.tables import Column, Entry, Row, Table
from ldmbench.schema.record import Record

__all__ = ["Finding", "findings_of"]


@dataclass(frozen=True)
class Finding:
    """One answer: what it is about, the number, whose it is, and what to make of it."""

    dataset: str
    topic: str
    number: str
    unit: str
    owner: str
    text: str
    cell: str


def findings_of(table: Table) -> list[Finding]:
    """Return, per dataset: the best cell, the fastest one as good, and latent against pixels.

    Only cells whose scores have one signature are rivals; a lone cell is told without a rank.
    """
    quality = headline([row.record for row in table.rows])
    column = next((c for c in table.columns if quality and c.quantity.name == quality.name), None)
    if column is None:
        return []
    found: list[Finding] = []
    for dataset in dict.fromkeys(row.record.cell.dataset for row in table.rows):
        rows = [r for r in table.rows if r.record.cell.dataset == dataset and _has(r, column.key)]
        for best in _leaders(rows, column):
            rivals = [r for r in rows if _among(r, column.key) == _among(best, column.key)]
            found += [_best(best, column, rivals=rivals, of=len(rows))]
            found += _fastest(table, rivals, column, best=best)
        found += _against_pixels(rows, column)
    return found


def _leaders(rows: Sequence[Row], column: Column) -> list[Row]:
    """Return the best row of each group of rivals, or the only row."""
    if len(rows) == 1:
        return list(rows)
    best = {_among(r, column.key): r for r in reversed(rows) if r.entries[column.key].best}
    return list(reversed(best.values()))


def _among(row: Row, key: str) -> tuple[str, ...] | None:
    return row.entries[key].among if _has(row, key) else None


def _has(row: Row, key: str) -> bool:
    return key in row.entries and row.entries[key].value is not None


def _owner(record: Record) -> str:
    return f"{series(record.cell)}, {record.cell.steps} steps"


def _written(entry: Entry) -> str:
    return f"{entry.text} ± {entry.spread}" if entry.spread else entry.text


def _best(row: Row, column: Column, *, rivals: Sequence[Row], of: int) -> Finding:
    cell, entry = row.record.cell, row.entries[column.key]
    signature = entry.among[-1]
    score = next(s for s in row.record.scores if s.signature == signature)
    names = embedded_evaluators(signature)
    text = f"{score.n} samples"
    if len(rivals) < of:
        text += f"; among the {len(rivals)} of {of} cells whose numbers were made alike"
    if names:
        text += f"; on {', '.join(names)}, so not a number to hold against published rows"
    what, owner = f"Best {column.heading}", _owner(row.record)
    if of == 1:
        what = column.heading
    return Finding(cell.dataset, what, _written(entry), "", owner, f"{text}.", cell.id)


def _fastest(table: Table, rows: Sequence[Row], column: Column, *, best: Row) -> list[Finding]:
    speed = next((c for c in table.columns if c.key == "throughput"), None)
    if speed is None or not best.entries[column.key].best or not _has(best, "throughput"):
        return []
    good = [r for r in rows if r.entries[column.key].best or r.entries[column.key].tied]
    good = [r for r in good if _among(r, "throughput") == _among(best, "throughput")]
    row = max(good, key=lambda r: r.entries["throughput"].value or 0.0, default=best)
    cell, entry = row.record.cell, row.entries["throughput"]
    ratio = (entry.value or 0.0) / (best.entries["throughput"].value or 1.0)
    text = (
        "No faster cell has an interval that reaches the best one's."
        if row is best
        else f"{ratio:.1f} times as fast as the best; its {column.quantity.label}, "
        f"{_written(row.entries[column.key])}, overlaps the best one's interval."
    )
    topic = "Fastest that is as good"
    return [
        Finding(
            cell.dataset, topic, entry.text, speed.scale.unit, _owner(row.record), text, cell.id
        )
    ]


def _against_pixels(rows: Sequence[Row], column: Column) -> list[Finding]:
    sign = -1.0 if column.quantity.better == "higher" else 1.0

    def top(chosen: list[Row]) -> Row | None:
        return min(chosen, key=lambda r: sign * (r.entries[column.key].value or 0.0), default=None)

    pixel = top([r for r in rows if r.record.cell.f == 1])
    latent = top([r for r in rows if (r.record.cell.f or 1) > 1])
    if pixel is None or latent is None:
        return []
    a, b = latent.entries[column.key], pixel.entries[column.key]
    if a.value is None or b.value is None or a.among != b.among:
        return []
    difference = sign * (b.value - a.value)
    apart = _apart(a, b)
    who = ("better" if difference > 0 else "worse") + ("" if apart else ", not settled")
    sure = "the intervals are apart" if apart else "the intervals overlap"
    text = f"{_written(a)} against {_written(b)} in pixel space ({_owner(pixel.record)}); {sure}."
    cell = latent.record.cell
    name = f"Latent against pixels, {column.quantity.label}"
    value = f"{abs(difference):.3g}"
    return [Finding(cell.dataset, name, value, who, _owner(latent.record), text, cell.id)]


def _apart(a: Entry, b: Entry) -> bool:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.low > b.high or b.low > a.high
