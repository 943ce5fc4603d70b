"""Findings: the few sentences that answer a suite's question, per dataset, from its records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ldmbench.records.difference import difference
from ldmbench.records.spread import Spread
from ldmbench.report.cells import identity_of, seedless, series, way
from ldmbench.report.notices import SLOW
from ldmbench.report.points import judged
from ldmbench.report.quantities import embedded_evaluators, quantity_of
from ldmbench.report.seeds import Pooled, pooled
from ldmbench.report.tables import Column, Entry, Row, Table
from ldmbench.report.worth import JUDGED, Worth, worth_of
from ldmbench.schema.record import Record
from ldmbench.words import plural

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

    After these, whether measures of first stages order them as samples do (`report/worth.py`).

    Only cells of one task whose scores have one signature are rivals; a lone cell is named without
    a rank.
    Where seeds were swept, the best mean over seeds stands beside the best single cell.
    """
    quality = judged([row.record for row in table.rows])
    column = next((c for c in table.columns if quality and c.quantity.name == quality.name), None)
    if column is None:
        return []
    found: list[Finding] = []
    over = pooled(table)
    for dataset in dict.fromkeys(row.record.cell.dataset for row in table.rows):
        rows = [r for r in table.rows if r.record.cell.dataset == dataset and _has(r, column.key)]
        for best in _leaders(rows, column):
            rivals = [r for r in rows if _among(r, column.key) == _among(best, column.key)]
            found += [_best(table, best, column, rivals=rivals, of=len(rows))]
            found += _fastest(table, rivals, column, best=best)
        found += _over_seeds(over, column, dataset)
        found += _against_pixels(table, rows, column)
    return found + [_worth(worth) for worth in worth_of([row.record for row in table.rows])]


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


def _owner(table: Table, record: Record) -> str:
    """Name a cell by its model and the value of every axis that varies."""
    how = way(identity_of(record.cell, table.vary))
    return ", ".join(filter(None, [series(record.cell), how]))


def _written(entry: Entry) -> str:
    return f"{entry.text} ± {entry.spread}" if entry.spread else entry.text


def _best(table: Table, row: Row, column: Column, *, rivals: Sequence[Row], of: int) -> Finding:
    cell, entry = row.record.cell, row.entries[column.key]
    signature = entry.among[-1]
    score = next(s for s in row.record.scores if s.signature == signature)
    names = embedded_evaluators(signature)
    text = f"{score.n} {'samples' if cell.is_sampled else 'reconstructions'}"
    if len(rivals) > 1:
        others = [r.entries[column.key] for r in rivals if r is not row]
        text += f"; {_distinguished(others)}"
    if len(rivals) < of:
        text += (
            f"; among the {len(rivals)} of {of} cells of one task whose numbers were computed in"
            " the same way"
        )
    if names:
        text += f"; on {', '.join(names)}, so it cannot be compared with published rows"
    what, owner = f"Best {column.heading}", _owner(table, row.record)
    if of == 1:
        what = column.heading
    return Finding(cell.dataset, what, _written(entry), "", owner, f"{text}.", cell.id)


def _distinguished(others: Sequence[Entry]) -> str:
    """Say how many others are not distinguished from the best, and how many are unknown."""
    who = "the other cell" if len(others) == 1 else f"the other {len(others)} cells"
    tied = sum(e.tied or e.best for e in others)
    blank = sum(not (e.tied or e.best or e.gap) for e in others)
    if blank == len(others):
        return f"{who} {'has' if blank == 1 else 'have'} no interval, so no difference can be shown"
    unknown = f"; {blank} of them {'has' if blank == 1 else 'have'} no interval" if blank else ""
    if not tied:
        some = "" if not blank else f"{len(others) - blank} of "
        is_ = "is" if len(others) - blank == 1 else "are"
        return f"{some}{who} {is_} distinguished from it{unknown}"
    if tied == len(others) > 1:
        return f"none of {who} is distinguished from it"
    count = "" if len(others) == 1 else f"{tied} of "
    return f"{count}{who} {'is' if tied == 1 else 'are'} not distinguished from it{unknown}"


def _fastest(table: Table, rows: Sequence[Row], column: Column, *, best: Row) -> list[Finding]:
    speed = next((c for c in table.columns if c.key == "throughput"), None)
    if speed is None or not best.entries[column.key].best or not _has(best, "throughput"):
        return []
    good = [r for r in rows if r.entries[column.key].best or r.entries[column.key].tied]
    good = [r for r in good if _among(r, "throughput") == _among(best, "throughput")]
    row = max(good, key=lambda r: r.entries["throughput"].value or 0.0, default=best)
    cell, entry = row.record.cell, row.entries["throughput"]
    text = (
        "No faster cell is as good within the noise."
        if row is best
        else f"{_ratio(row, best)}; its {column.quantity.label}, "
        f"{_written(row.entries[column.key])}, is not distinguished from the best one's."
    )
    owner = _owner(table, row.record)
    topic = "Fastest that is as good"
    return [Finding(cell.dataset, topic, entry.text, speed.scale.unit, owner, text, cell.id)]


def _ratio(row: Row, best: Row) -> str:
    """Say how much faster a cell is than the best, and what makes that doubtful."""
    entry, other = row.entries["throughput"], best.entries["throughput"]
    ratio = (entry.value or 0.0) / (other.value or 1.0)
    text = f"{ratio:.1f} times as fast as the best" if ratio >= 1.05 else "As fast as the best"
    sticks = [r.entries["yardstick"].value or 0.0 for r in (row, best) if _has(r, "yardstick")]
    slower = max(sticks) / min(sticks) if len(sticks) == 2 and all(sticks) else 1.0
    if slower > SLOW:
        text += f", but the machine was {slower:.1f} times as slow during one of the two timings"
    elif entry.low is not None and other.high is not None and entry.low <= other.high:
        text += ", but the two intervals overlap"
    return text


def _over_seeds(over: Pooled | None, column: Column, dataset: str) -> list[Finding]:
    """Return the best mean over seeds of a dataset."""
    if over is None:
        return []
    rows = list(zip(over.table.rows, over.counts, over.spreads, strict=True))
    mine = [row for row in rows if row[0].record.cell.dataset == dataset]
    mine = [row for row in mine if _has(row[0], column.key)]
    found = []
    for row, (trainings, seeds), spreads in mine:
        entry = row.entries[column.key]
        if not entry.best:
            continue
        rivals = [r for r, *_ in mine if _among(r, column.key) == entry.among]
        cell = row.record.cell
        owner = f"{seedless(cell)}, {way(identity_of(cell, over.table.vary))}"
        text = (
            f"Mean over {plural(trainings, 'training seed')}, {plural(seeds, 'sample seed')} each"
        )
        others = [r.entries[column.key] for r in rivals if r is not row]
        text += f"; {_distinguished(others)}" if others else ""
        text += f". {_of_training(spreads[column.key])}"
        topic = f"Best {column.heading} over seeds"
        found.append(Finding(dataset, topic, _written(entry), "", owner, text, cell.id))
    return found


def _of_training(spread: Spread) -> str:
    """Say how much of the spread is training and how much sampling, or why that is unknown."""
    if spread.share is None:
        why = spread.sd_training.reason or spread.sd_sampling.reason or "nothing varies"
        return f"How much of the spread is training: no value: {why}."
    rough = f", from {spread.trainings} trainings" if spread.trainings < 5 else ""
    return f"Training makes {100 * spread.share:.0f} % of the variance of one cell{rough}."


def _worth(worth: Worth) -> Finding:
    first, cell = worth.ranks[0], worth.record.cell
    number = "–" if first.rho is None else f"{first.rho:.2f}"
    name, judged = quantity_of(first.name).label, quantity_of(JUDGED).label
    topic, owner = f"{name} and {judged} of samples", worth.setting or cell.dataset
    return Finding(cell.dataset, topic, number, "", owner, worth.sentence, cell.id)


def _against_pixels(table: Table, rows: Sequence[Row], column: Column) -> list[Finding]:
    sign = -1.0 if column.quantity.best == "higher" else 1.0

    def top(chosen: list[Row]) -> Row | None:
        return min(chosen, key=lambda r: sign * (r.entries[column.key].value or 0.0), default=None)

    pixel = top([r for r in rows if r.record.cell.f == 1])
    latent = top([r for r in rows if (r.record.cell.f or 1) > 1])
    if column.quantity.best is None or pixel is None or latent is None:
        return []
    a, b = latent.entries[column.key], pixel.entries[column.key]
    if a.score is None or b.score is None or a.among != b.among:
        return []
    apart = difference(
        *(pixel.record, latent.record, b.score, a.score),
        replicates=(table.replicates(b.score), table.replicates(a.score)),
        level=0.95,
    )
    gap, low, high = apart.difference or 0.0, apart.low, apart.high
    sure = low is not None and high is not None and (low > 0 or high < 0)
    who = ("better" if sign * gap < 0 else "worse") + ("" if sure else ", not settled")
    how = "in pairs" if apart.method.startswith("paired") else "from the two intervals"
    interval = "" if low is None or high is None else f", interval {low:.3g} to {high:.3g}, {how}"
    text = (
        f"{_written(a)} against {_written(b)} in pixel space ({_owner(table, pixel.record)});"
        f" difference {gap:.3g}{interval}."
    )
    cell = latent.record.cell
    name = f"Latent against pixels, {column.quantity.label}"
    owner = _owner(table, latent.record)
    return [Finding(cell.dataset, name, f"{abs(gap):.3g}", who, owner, text, cell.id)]
