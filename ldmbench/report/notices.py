"""Notices: what a reader must know before the numbers, failures first."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ldmbench.catalog.extractors import EXTRACTORS
from ldmbench.records.groups import seeds_of
from ldmbench.report.cells import seedless
from ldmbench.report.quantities import embedded_evaluators, quantity_of
from ldmbench.report.tables import Table
from ldmbench.schema.record import Record, Run

__all__ = ["Notice", "notices_of"]

SLOW = 2.0
"""Times the quickest yardstick of a run, from which a notice appears."""


@dataclass(frozen=True)
class Notice:
    """One thing to know: how grave it is, what it is, and the cells it is about."""

    kind: Literal["failure", "warning", "note"]
    title: str
    text: str
    cells: tuple[str, ...] = ()


@dataclass
class _Conversion:
    """What is converted from one device to another: quantities, cells, days for a day."""

    names: dict[str, None] = field(default_factory=dict)
    cells: dict[str, None] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)


_DAYS = re.compile(r"(?P<days>\S+) days of (?P<there>.+), count as (?P<now>\S+) of (?P<here>.+)")
"""How `records/costs.py` says a conversion."""


def notices_of(run: Run, table: Table) -> tuple[Notice, ...]:
    """Return every notice of a run: failures, then warnings, then notes."""
    records = [row.record for row in table.rows]
    found = [
        *_failures(records),
        *_state(run, records),
        *_stale(records),
        *_cautions(records),
        *_evaluators(records),
        *_conditions(records),
        *_machines(records),
        *_disturbed(records),
        *_nulls(table),
        *_converted(records),
        *_one_training(records),
        *_weights(records),
        *(Notice("note", "Note of the run", text) for text in run.notes),
    ]
    order = ("failure", "warning", "note")
    return tuple(sorted(found, key=lambda n: order.index(n.kind)))


def _failures(records: Sequence[Record]) -> list[Notice]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for record in records:
        if record.status == "failed":
            by_reason[record.reason or "no reason was recorded"].append(record.cell.id)
    return [
        Notice("failure", f"{len(cells)} of {_cells(records)} failed", reason, tuple(cells))
        for reason, cells in by_reason.items()
    ]


def _state(run: Run, records: Sequence[Record]) -> list[Notice]:
    found = []
    if run.state in ("running", "interrupted"):
        has = "is still running" if run.state == "running" else "was interrupted"
        text = f"{len(records)} of {len(run.cells)} cells have a record; the rest is missing here."
        found.append(Notice("warning", f"The run {has}", text))
    numbers = [s.value for r in records for s in r.scores]
    numbers += [m.value for r in records for m in r.measures]
    if all(value is None for value in numbers):
        found.append(Notice("failure", "Nothing was measured", "No cell has any number."))
    return found


def _weights(records: Sequence[Record]) -> list[Notice]:
    """Say of which file, and which entry of it, weights are that were not trained here."""
    taken: dict[str, list[str]] = defaultdict(list)
    below: dict[str, list[str]] = defaultdict(list)
    for cell in (record.cell for record in records):
        if cell.weights_from:
            taken[f"{cell.weights_from} ({cell.weights})"].append(cell.id)
        if cell.first_stage_from:
            below[cell.first_stage_from].append(cell.id)
    weights = [
        Notice("note", "Weights of a loaded model", f"They are of {file}.", tuple(cells))
        for file, cells in taken.items()
    ]
    return weights + [
        Notice("note", "First stage from disk", f"It is {stage}.", tuple(cells))
        for stage, cells in below.items()
    ]


def _stale(records: Sequence[Record]) -> list[Notice]:
    by_kinds: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for record in records:
        if record.stale:
            by_kinds[record.stale].append(record.cell.id)
    return [
        Notice(
            "warning",
            f"Made by older code: {', '.join(kinds)}",
            "These artefacts were in the store before the code changed. To compute them again: "
            + "ldmbench run SUITE "
            + " ".join(f"--fresh {kind}" for kind in kinds),
            tuple(cells),
        )
        for kinds, cells in by_kinds.items()
    ]


def _cautions(records: Sequence[Record]) -> list[Notice]:
    by_text: dict[str, list[str]] = defaultdict(list)
    for record in records:
        for text in record.warnings:
            by_text[text].append(record.cell.id)
    return [
        Notice(
            "warning",
            f"Scores of {len(cells)} of {_cells(records)}",
            text,
            () if len(cells) == len(records) else tuple(cells),
        )
        for text, cells in by_text.items()
    ]


def _evaluators(records: Sequence[Record]) -> list[Notice]:
    names: dict[str, set[str]] = defaultdict(set)
    for record in records:
        for score in record.scores:
            for evaluator in embedded_evaluators(score.signature):
                names[evaluator].add(quantity_of(score.name).label)
    return [
        Notice(
            "warning",
            f"Embedded evaluator {name}: {', '.join(sorted(labels))}",
            EXTRACTORS[name].notice,
        )
        for name, labels in sorted(names.items(), reverse=True)
    ]


def _conditions(records: Sequence[Record]) -> list[Notice]:
    """Tell of cells that are ranked together although conditions of their task differ."""
    made: dict[tuple[str, str | None, str], dict[str, None]] = defaultdict(dict)
    for cell in (record.cell for record in records):
        for name, value in (cell.given or {}).items():
            made[cell.dataset, cell.conditioning, name][value] = None
    return [
        Notice(
            "warning",
            f"Conditions differ: {name} {', '.join(values)}",
            f"★, ≈ and findings rank all cells of one task ({task}) and dataset together, also"
            f" those of another {name}. Compare cells of the same {name}.",
        )
        for (_, task, name), values in made.items()
        if len(values) > 1
    ]


def _machines(records: Sequence[Record]) -> list[Notice]:
    devices = sorted(
        {m.device for r in records for m in r.measures if m.device and m.value is not None}
        - {"cpu"}  # what is counted on any processor
    )
    if len(devices) < 2:
        return []
    text = f"Speed and cost come from {', '.join(devices)}; the best is marked per device."
    return [Notice("warning", f"{len(devices)} kinds of device", text)]


def _disturbed(records: Sequence[Record]) -> list[Notice]:
    """Tell of cells that were timed while the machine was much slower than for the others."""
    sticks: dict[str, dict[str, float]] = defaultdict(dict)
    for record in records:
        for measure in record.measures:
            if measure.name == "yardstick" and measure.value:
                sticks[measure.device][record.cell.id] = measure.value
    found = []
    for device, cells in sticks.items():
        usual = min(cells.values())
        slow = tuple(cell for cell, seconds in cells.items() if seconds > SLOW * usual)
        if slow:
            text = (
                f"Their yardstick took up to {max(cells.values()) / usual:.1f} times the"
                f" {1000 * usual:.3g} ms of the quickest cell on {device}: something else was"
                " running there. Their throughput and latency are worse by about as much. To"
                " measure them again on a quiet machine: ldmbench run SUITE --fresh speed"
            )
            title = f"Timed on a busy machine: {len(slow)} of {_cells(tuple(cells))}"
            found.append(Notice("warning", title, text, slow))
    return found


def _converted(records: Sequence[Record]) -> list[Notice]:
    """Tell of costs that add up days of two devices, and how these were brought to one.

    Cells of the same devices are one notice, with the range of what a day counts as.
    """
    by_way: dict[str, _Conversion] = {}
    for record in records:
        for measure in (m for m in record.measures if m.converted):
            found = _DAYS.fullmatch(measure.converted)
            way = measure.converted
            if found:
                way = f"A day of {found['there']}, counts as {{}} of {found['here']}"
            conversion = by_way.setdefault(way, _Conversion())
            conversion.names[quantity_of(measure.name).label] = None
            conversion.cells[record.cell.id] = None
            if found:
                conversion.rates.append(float(found["now"]) / float(found["days"]))
    return [
        Notice(
            "note",
            f"Converted to one device: {', '.join(found.names)}",
            way.replace("{}", _range(found.rates)) if found.rates else way,
            tuple(found.cells),
        )
        for way, found in by_way.items()
    ]


def _range(values: Sequence[float]) -> str:
    ends = f"{min(values):.2g}", f"{max(values):.2g}"
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _one_training(records: Sequence[Record]) -> list[Notice]:
    """Tell of models that are compared with one training each."""
    trainings: dict[tuple[str, str], set[str]] = defaultdict(set)
    for cell in (record.cell for record in records):
        trainings[seedless(cell), cell.dataset].add(seeds_of(cell)[0])
    alone = [model for (model, _), seeds in trainings.items() if len(seeds) == 1]
    beside = set(alone)
    if len(beside) < 2:
        return []
    text = (
        "★, ≈ and intervals between them hold for these trainings; they say nothing of other"
        " training seeds. A list under train_seed measures how far those would move the scores."
    )
    return [Notice("note", f"One training each of {len(beside)} models", text)]


def _nulls(table: Table) -> list[Notice]:
    done = [row for row in table.rows if row.record.status == "done"]
    by_reason: dict[tuple[str, str], list[str]] = defaultdict(list)
    for column in table.columns:
        for row in done:
            entry = row.entries.get(column.key)
            if entry is not None and entry.value is None:
                reason = (column.quantity.label, entry.reason or "")
                by_reason[reason].append(row.record.cell.id)
    return [
        Notice(
            "note",
            f"{label}: no value for {len(cells)} of {_cells(done)}",
            reason,
            () if len(cells) == len(done) else tuple(cells),
        )
        for (label, reason), cells in by_reason.items()
    ]


def _cells(rows: Sequence[object]) -> str:
    return f"{len(rows)} cell{'' if len(rows) == 1 else 's'}"
