"""`ldmbench compare`: paired differences of two runs, record files or cells of one run."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from ldmbench.cli.differences import cells, change, lines, unpaired
from ldmbench.cli.options import (
    Real,
    complete_metrics,
    complete_runs,
    json_option,
    print_json,
    say,
    store_option,
)
from ldmbench.cli.rivals import show_best
from ldmbench.cli.sides import check_metrics, side_of, sides_of
from ldmbench.cli.terminal import inert
from ldmbench.errors import InputError
from ldmbench.records.compare import Comparison, Difference, Side
from ldmbench.records.compare import compare as compare_sides
from ldmbench.records.pairing import differing
from ldmbench.records.seeded import Group
from ldmbench.words import plural

EXIT_CODES = {"same": 0, "differs": 1, "undecided": 3}


@click.command()
@click.argument("words", nargs=-1, metavar="A B", shell_complete=complete_runs)
@click.option("--best", is_flag=True, help="Compare every cell of one RUN with the best one.")
@click.option(
    "--metrics",
    default="",
    metavar="M,...",
    help="Only these; all when unset.",
    shell_complete=complete_metrics,
)
@click.option("--confidence", type=Real(), default=0.95, show_default=True, help="Of intervals.")
@click.option(
    "--margin",
    type=Real(),
    default=0.1,
    show_default=True,
    help="'same' needs an interval within this share of the larger value.",
)
@store_option
@json_option
def compare(
    words: tuple[str, ...],
    best: bool,
    metrics: str,
    confidence: float,
    margin: float,
    store: Path,
    as_json: bool,
) -> int:
    """Show what changed from A to B, with intervals and corrected p-values.

    A and B are run ids, unique beginnings of them, or record files; RUN:GLOB takes only the cells
    that match. RUN 'GLOB' 'GLOB' compares two groups of cells that differ in one axis, over all
    others: the mean difference, then every pair. RUN --best compares all cells with the best one
    of their dataset. Without RUN both take the last run.

    Ends with 0 if all is the same, 1 if something differs, 2 if the numbers are unlike or have
    nothing in common, 3 if there are too few samples to tell. Of two groups the means count.

    \b
    Examples:
      ldmbench compare quickstart-20260101 quickstart-20260102
      ldmbench compare last.jsonl new.jsonl --metrics fid,precision
      ldmbench compare 'quick:*/ddim-10/*' 'quick:*/ddim-50/*'
      ldmbench compare quickstart-20260102 '*/ddim-*' '*/dpm++-*'
      ldmbench compare quickstart-20260102 --best --metrics fid
    """
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    if best:
        if len(words) > 1:
            raise InputError(f"--best takes one run, found {len(words)} arguments")
        side = side_of(words[0] if words else "", store)
        check_metrics(names, side.records)
        verdict = show_best(
            side, metrics=names, confidence=confidence, margin=margin, as_json=as_json
        )
        return EXIT_CODES[verdict]
    a, b = sides_of(words, store)
    check_metrics(names, (*a.records, *b.records))
    found = compare_sides(a, b, metrics=names, confidence=confidence, margin=margin)
    if as_json:
        print_json(_as_json(found, confidence, margin))
    else:
        _show(found, a, b)
    return EXIT_CODES[found.verdict]


def _as_json(found: Comparison, confidence: float, margin: float) -> dict[str, object]:
    return {
        "verdict": found.verdict,
        "confidence": confidence,
        "margin": margin,
        "correction": "holm",
        "comparisons": [{**asdict(row), "change": change(row)} for row in found.rows],
        "means": [{**asdict(row), "change": change(row)} for row in found.means],
        "groups": [
            {
                **asdict(group.row),
                "change": change(group.row),
                "spread_a": asdict(group.a) if group.a else None,
                "spread_b": asdict(group.b) if group.b else None,
            }
            for group in found.groups
        ],
        "notes": list(found.notes),
    }


def _show(found: Comparison, a: Side, b: Side) -> None:
    groups: dict[str, list[Difference]] = {}
    if found.means:
        apart = differing(a.records, b.records)
        title = "mean over all pairs: " + ", ".join(
            f"{n} {x} -> {y}" for n, (x, y) in apart.items()
        )
        for row in found.means:
            whole = f"{title} ({row.protocol})" if row.protocol else title
            groups.setdefault(whole, []).append(row)
    for group in found.groups:
        title = f"mean over seeds: {_pair(group.row)}"
        groups.setdefault(title, []).append(group.row)
    for row in found.rows:
        groups.setdefault(_pair(row), []).append(row)
    spreads = {id(group.row): list(_spreads(group)) for group in found.groups}
    texts = iter(lines([cells(row) for rows in groups.values() for row in rows]))
    for title, rows in groups.items():
        click.echo(inert(title))
        for row in rows:
            for line in next(texts):
                click.echo(f"  {line}")
            if row.p_holm is None and row.method and id(row) not in spreads:
                click.echo(f"    {row.method}")
            if row in found.means:
                click.echo(f"    {_counted(row, found.rows)}")
            for text in spreads.get(id(row), ()):
                click.echo(textwrap.indent(textwrap.fill(text, 76), "    "))
    for note in (*found.notes, *unpaired(found.rows)):
        say(f"note: {note}")
    words = {
        "same": "all the same within the margin",
        "differs": "they differ",
        "undecided": "too few samples to decide; draw more, or use a larger --margin",
    }
    click.echo(words[found.verdict])


def _pair(row: Difference) -> str:
    """Return the two cells of a difference, and under which protocol."""
    pair = row.cell_a if row.cell_a == row.cell_b else f"{row.cell_a} -> {row.cell_b}"
    return f"{pair} ({row.protocol})" if row.protocol else pair


def _spreads(group: Group) -> Iterator[str]:
    """Say how a group was compared, and how much of each side's spread is training."""
    yield group.row.method
    for side, spread in (("A", group.a), ("B", group.b)):
        if spread is not None and spread.sd_training.value is not None:
            sd = f"SD by training {spread.sd_training.value:.3g}"
            sampled = spread.sd_sampling.value
            sd += "" if sampled is None else f", by sampling {sampled:.3g}"
            share = "" if spread.share is None else f"; training is {100 * spread.share:.0f} %"
            yield f"{side}: {sd}{share} of the variance" if share else f"{side}: {sd}"


def _counted(mean: Difference, rows: Sequence[Difference]) -> str:
    """Say in how many of the pairs a score differs, and which way."""
    own = [change(r) for r in rows if (r.name, r.protocol) == (mean.name, mean.protocol)]
    texts = [f"{word} in {own.count(word)}" for word in dict.fromkeys(sorted(own))]
    return f"of {plural(len(own), 'pair')}: {', '.join(texts)}"
