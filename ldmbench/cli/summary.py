"""The last word of a run: a table that fits a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ldmbench.catalog.metrics import METRICS, RECONSTRUCTED
from ldmbench.cli import terminal
from ldmbench.cli.terminal import inert
from ldmbench.schema.record import Record, Score

SCORES = {name: row.short for name, row in METRICS.items() if row.short}
"""What fits 80 columns; the report has the rest."""
MEASURES = {"throughput": "img/s", "total_device_days": "dev-days"}


def summary_table(records: Sequence[Record], *, width: int | None = None) -> str:
    """Return a plain table: a row per cell, the main scores, speed and cost."""
    sampled = [r for r in records if r.cell.is_sampled]
    names = [n for n in SCORES if any(_score(r, n) for r in sampled)]
    if len(sampled) < len(records):
        names += [n for n in RECONSTRUCTED if any(_score(r, n) for r in records)]
    speeds = [n for n in MEASURES if any(_measure(r, n) is not None for r in records)]
    table = Table(box=None, pad_edge=False)
    table.add_column("cell", overflow="fold", min_width=26)
    for name in names:
        label = SCORES.get(name) or RECONSTRUCTED[name].label
        table.add_column(label, justify="right", no_wrap=True)
    for name in speeds:
        table.add_column(MEASURES[name], justify="right", no_wrap=True)
    for record in records:
        shown = [_shown(_score(record, name)) for name in names]
        values = [_measure(record, name) for name in speeds]
        shown += ["-" if value is None else f"{value:.3g}" for value in values]
        table.add_row(_title(record), *shown)
    stream = io.StringIO()
    Console(
        file=stream, width=width or terminal.width() or 80, color_system=None, markup=False
    ).print(table)
    return stream.getvalue().rstrip()


def _title(record: Record) -> str:
    name = inert(record.cell.id)
    return name if record.status == "done" else f"{name} (failed)"


def _score(record: Record, name: str) -> Score | None:
    return next((s for s in record.scores if s.name == name), None)


def _measure(record: Record, name: str) -> float | None:
    return next((m.value for m in record.measures if m.name == name), None)


def _shown(score: Score | None) -> str:
    if score is None or score.value is None:
        return "-"
    return f"{score.value:.3g}"
