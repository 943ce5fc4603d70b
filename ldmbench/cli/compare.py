"""`ldmbench compare`: paired differences of two runs, record files or cells of one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from ldmbench.catalog import METRICS
from ldmbench.cli.options import (
    complete_metrics,
    complete_runs,
    inert,
    json_option,
    print_json,
    say,
    store_option,
)
from ldmbench.cli.terminal import columns_of
from ldmbench.errors import InputError
from ldmbench.plan.expand import matches
from ldmbench.records.compare import Comparison, Difference, Side, stored_replicates
from ldmbench.records.compare import compare as compare_sides
from ldmbench.records.loose import opened_run
from ldmbench.registry import pick

ROOM = 78
"""Columns of a terminal of 80 beside the indent."""
EXIT_CODES = {"same": 0, "differs": 1, "undecided": 3}


@click.command()
@click.argument("a", shell_complete=complete_runs)
@click.argument("b", shell_complete=complete_runs)
@click.option(
    "--metrics",
    default="",
    metavar="M,...",
    help="Only these; all when unset.",
    shell_complete=complete_metrics,
)
@click.option("--confidence", type=float, default=0.95, show_default=True, help="Of intervals.")
@click.option(
    "--margin",
    type=float,
    default=0.1,
    show_default=True,
    help="'same' needs an interval within this share of the larger value.",
)
@store_option
@json_option
def compare(
    a: str, b: str, metrics: str, confidence: float, margin: float, store: Path, as_json: bool
) -> int:
    """Show what changed from A to B, with intervals and corrected p-values.

    A and B are run ids, unique beginnings of them, or record files; RUN:GLOB takes only the cells
    that match. Ends with 0 if all is the same, 1 if something differs, 2 if the numbers are unlike
    or have nothing in common, 3 if there are too few samples to tell.

    \b
    Examples:
      ldmbench compare quickstart-20260101 quickstart-20260102
      ldmbench compare last.jsonl new.jsonl --metrics fid,precision
      ldmbench compare 'quick:*/ddim-10/*' 'quick:*/ddim-50/*'
    """
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    sides = _side(a, store), _side(b, store)
    there = {s.name for side in sides for record in side.records for s in record.scores}
    for name in names:
        pick(dict.fromkeys([*METRICS, *sorted(there)]), name, "metric")
    found = compare_sides(*sides, metrics=names, confidence=confidence, margin=margin)
    if as_json:
        print_json(_as_json(found, confidence, margin))
    else:
        _show(found)
    return EXIT_CODES[found.verdict]


def _side(spec: str, store: Path) -> Side:
    """Return the cells that RUN, FILE, RUN:GLOB or FILE:GLOB names."""
    name, glob = _split(spec)
    run, book = opened_run(name, store)
    records = book.records(run.id)
    kept = tuple(r for r in records if glob is None or matches(r.cell.id, glob))
    if not kept:
        ids = ", ".join(r.cell.id for r in records[:8]) or "no record"
        raise InputError(f"{spec}: no cell; there are: {ids}")
    return Side(spec, kept, stored_replicates(*book.stores, store))


def _split(spec: str) -> tuple[str, str | None]:
    """Split RUN:GLOB; a file may have a colon in its name."""
    if Path(spec).is_file() or ":" not in spec:
        return spec, None
    for place in (i for i, letter in enumerate(spec) if letter == ":"):
        if Path(spec[:place]).is_file():
            return spec[:place], spec[place + 1 :]
    name, _, glob = spec.partition(":")
    return name, glob


def _as_json(found: Comparison, confidence: float, margin: float) -> dict[str, object]:
    return {
        "verdict": found.verdict,
        "confidence": confidence,
        "margin": margin,
        "correction": "holm",
        "comparisons": [{**asdict(row), "change": _change(row)} for row in found.rows],
        "notes": list(found.notes),
    }


def _change(row: Difference) -> str:
    """Say whether B is better or worse, when it differs."""
    if row.verdict != "differs" or row.difference is None:
        return row.verdict
    metric = METRICS.get(row.name.removeprefix("truth_"))
    wanted = metric.better if metric else None
    up = row.difference > 0
    return {"higher": "better" if up else "worse", "lower": "worse" if up else "better"}.get(
        wanted or "", "differs"
    )


def _show(found: Comparison) -> None:
    groups: dict[str, list[Difference]] = {}
    for row in found.rows:
        pair = row.cell_a if row.cell_a == row.cell_b else f"{row.cell_a} -> {row.cell_b}"
        groups.setdefault(f"{pair} ({row.protocol})" if row.protocol else pair, []).append(row)
    told = iter(_lines([_cells(row) for row in found.rows]))
    for title, rows in groups.items():
        click.echo(inert(title))
        for row in rows:
            for line in next(told):
                click.echo(f"  {line}")
            if row.p_holm is None and row.method:
                click.echo(f"    {row.method}")
    for note in (*found.notes, *_unpaired(found.rows)):
        say(f"note: {note}")
    words = {
        "same": "all the same within the margin",
        "differs": "they differ",
        "undecided": "too few samples to tell; draw more, or widen --margin",
    }
    click.echo(words[found.verdict])


def _lines(cells: list[list[str]]) -> list[list[str]]:
    """Return the lines of each row: one, or two where one would be too wide."""
    for gap in (2, 1):
        lines = columns_of(cells, right=[2], gap=gap)
        if max(map(len, lines), default=0) <= ROOM:
            return [[line] for line in lines]
    lines = columns_of([[*c[:3], c[5]] for c in cells], right=[2])
    return [
        [line, f"    {c[3]}  {c[4]}"] if c[3] else [line]
        for line, c in zip(lines, cells, strict=True)
    ]


def _unpaired(rows: Sequence[Difference]) -> Iterator[str]:
    """Say which scores were not paired, and why."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.method.startswith("unpaired"):
            found.setdefault(row.method, {})[row.name] = None
    for method, names in found.items():
        yield f"{', '.join(names)} {method}"


def _p(value: float) -> str:
    return "p <0.001" if value < 0.001 else f"p {value:.2g}"


def _cells(row: Difference) -> list[str]:
    """Return name, values, difference, interval, p-value and verdict, short enough for 80."""
    if row.difference is None or row.a is None or row.b is None:
        return [row.name, "", "", "", "", row.verdict]
    values, change = f"{row.a:.4g} -> {row.b:.4g}", f"{row.difference:+.4g}"
    if row.low is None or row.high is None or row.p_holm is None:
        return [row.name, values, change, "", "", row.verdict]
    interval = f"[{row.low:+.3g}, {row.high:+.3g}]"
    return [row.name, values, change, interval, _p(row.p_holm), _change(row)]
