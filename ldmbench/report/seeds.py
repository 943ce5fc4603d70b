"""Seeds: cells that differ in their seeds alone, in one row with their mean and spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from scipy.special import stdtr

from ldmbench.records.difference import holm
from ldmbench.report.cells import SEEDS, identity_of, seedless
from ldmbench.report.quantities import with_interval
from ldmbench.report.tables import Column, Entry, Row, Table

__all__ = ["HOW", "Pooled", "pooled"]

HOW = (
    "Cells that differ in their seeds alone are one row: the mean over the seeds ± the standard"
    " deviation between them (n - 1). Bold: best mean of its dataset. ≈: not distinguished from it"
    " (Welch's t-test at 95 %, corrected for the number of rows by Holm). The interval of each"
    " seed's own samples is in the table of cells."
)
ALPHA = 0.05


@dataclass(frozen=True)
class Pooled:
    """The table over seeds; `counts` says how many seeds each row has."""

    table: Table
    counts: tuple[int, ...]

    @property
    def headings(self) -> tuple[str, ...]:
        """Headings of the leading texts."""
        return (*self.table.headings, "Seeds")


def pooled(table: Table) -> Pooled | None:
    """Return scores with seeds pooled, or None where no two cells differ in seeds alone.

    A row has a number where all of its seeds have one that was computed in the same way.
    """
    vary = tuple(name for name in table.vary if name not in SEEDS)
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in table.rows:
        fields = identity_of(row.record.cell, vary)
        dataset = (row.record.cell.dataset,)
        groups.setdefault((seedless(row.record.cell), *dataset, *fields.values()), []).append(row)
    if all(len(rows) < 2 for rows in groups.values()):
        return None
    columns = tuple(c for c in table.columns if _is_of_samples(table, c))
    rows = [_row(own, columns, vary) for own in groups.values()]
    samples = [{c.key: _values(own, c.key) for c in columns} for own in groups.values()]
    for column in columns:
        rows = _mark(rows, column, [values[column.key] for values in samples])
    counts = tuple(len(own) for own in groups.values())
    return Pooled(Table(vary, columns, tuple(rows), table.replicates), counts)


def _is_of_samples(table: Table, column: Column) -> bool:
    entries = (row.entries.get(column.key) for row in table.rows)
    return column.quantity.group in ("quality", "other") and any(e and e.score for e in entries)


def _row(rows: Sequence[Row], columns: Sequence[Column], vary: Sequence[str]) -> Row:
    cell = rows[0].record.cell
    fields = identity_of(cell, vary)
    leading = (cell.dataset if name == "dataset" else fields[name] for name in vary)
    entries = {
        c.key: _pooled_entry(rows, c) for c in columns if any(c.key in r.entries for r in rows)
    }
    return Row(rows[0].record, (seedless(cell), *leading), entries)


def _values(rows: Sequence[Row], key: str) -> list[float]:
    """Return the values of all seeds, nothing where one is missing or was made otherwise."""
    entries = [row.entries.get(key) for row in rows]
    values = [e.value for e in entries if e is not None and e.value is not None]
    alike = len({e.among for e in entries if e is not None}) == 1
    return values if alike and len(values) == len(rows) else []


def _pooled_entry(rows: Sequence[Row], column: Column) -> Entry:
    values = _values(rows, column.key)
    there = next(row.entries[column.key] for row in rows if column.key in row.entries)
    if not values:
        reason = "not all seeds have a value that was computed in the same way"
        return replace(there, value=None, low=None, high=None, text="–", spread="", reason=reason)
    scaled = [value / column.scale.divisor for value in values]
    mean, spread = fmean(scaled), stdev(scaled) if len(scaled) > 1 else None
    ends = (None, None) if spread is None else (mean - spread, mean + spread)
    text, half = with_interval(mean, *ends)
    return Entry(fmean(values), None, None, text, half, None, there.among)


def _mark(rows: list[Row], column: Column, samples: Sequence[Sequence[float]]) -> list[Row]:
    """Mark the best mean of each group and the means that are not distinguished from it."""
    better, marked = column.quantity.best, list(rows)
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        if samples[place]:
            groups.setdefault(row.entries[column.key].among, []).append(place)
    for places in groups.values():
        if better is None or len(places) < 2:
            continue
        pick = min if better == "lower" else max
        best = pick(places, key=lambda place: fmean(samples[place]))
        others = [place for place in places if place != best]
        chances = {place: _welch(samples[best], samples[place]) for place in others}
        known = {place: p for place, p in chances.items() if p is not None}
        corrected = dict(zip(known, holm(list(known.values())), strict=True))
        for place in places:
            entry = rows[place].entries[column.key]
            tied = corrected.get(place, 0.0) > ALPHA
            gap = f"p {corrected[place]:.2g}, Welch's t-test" if place in corrected else ""
            entry = replace(entry, best=place == best, tied=tied, gap=gap)
            entries = {**rows[place].entries, column.key: entry}
            marked[place] = replace(rows[place], entries=entries)
    return marked


def _welch(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return the two-sided p-value of Welch's t-test; None where a side has one value."""
    if len(a) < 2 or len(b) < 2:
        return None
    first, second = stdev(a) ** 2 / len(a), stdev(b) ** 2 / len(b)
    gap = abs(fmean(a) - fmean(b))
    if first + second == 0:
        return 1.0 if gap == 0 else 0.0
    freedom = (first + second) ** 2 / (first**2 / (len(a) - 1) + second**2 / (len(b) - 1))
    return 2 * float(stdtr(freedom, -gap / math.sqrt(first + second)))
