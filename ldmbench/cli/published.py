"""`ldmbench published`: numbers that others printed, with their sources."""

from __future__ import annotations

from dataclasses import asdict

import click

from ldmbench.cli.options import json_option, print_json
from ldmbench.cli.terminal import inert
from ldmbench.published.rows import Row, chosen
from ldmbench.words import plural


@click.command()
@click.option("--dataset", default=None, help="Of this data set: celebahq, imagenet, ...")
@click.option("--task", default=None, help="Of this task: unconditional, reconstruction, ...")
@click.option("--metric", default=None, help="Of this metric: fid, inception_score, rFID, ...")
@json_option
def published(dataset: str | None, task: str | None, metric: str | None, as_json: bool) -> None:
    """List published numbers: their source, how they were made, and doubts about them.

    Nothing here was measured by ldmbench. The report shows the rows that correspond to its cells.

    \b
    Examples:
      ldmbench published --dataset celebahq --metric fid
      ldmbench published --task reconstruction --json
    """
    rows = chosen(dataset=dataset, task=task, metric=metric)
    if as_json:
        print_json([_json(row) for row in rows])
        return
    for row in rows:
        click.echo(inert(_line(row)))
    suspect = sum(row.suspect for row in rows)
    doubts = f"; {suspect} marked SUSPECT, the note in --json says why" if suspect else ""
    click.echo(f"{plural(len(rows), 'row')}{doubts}", err=True)


def _json(row: Row) -> dict[str, object]:
    """Return a row by the columns of its file, `value` a number."""
    columns = asdict(row)
    del columns["printed"]
    return columns | {"protocol": row.protocol, "suspect": row.suspect}


def _line(row: Row) -> str:
    """Return what identifies a row, and its number."""
    spread = f" ± {row.uncertainty}" if row.uncertainty else ""
    data = " ".join(part for part in (row.dataset, row.resolution) if part)
    guided = f"guidance {row.guidance_scale}" if row.guidance_scale else ""
    how = ", ".join(part for part in (f"{row.sampler} {row.steps}".strip(), guided) if part)
    mark = "  SUSPECT" if row.suspect else ""
    parts = (row.task, data, row.model, how, f"{row.source}, {row.table}")
    return f"{row.metric:<14} {row.printed + spread:>14}  {'  '.join(p for p in parts if p)}{mark}"
