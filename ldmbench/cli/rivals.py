"""`ldmbench compare RUN --best`: every cell against the best one of its task and dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from ldmbench.cli.differences import better, cells, change, lines, unpaired
from ldmbench.cli.options import (
    print_json,
    say,
)
from ldmbench.cli.terminal import inert
from ldmbench.errors import InputError
from ldmbench.records.best import Rivals, standings
from ldmbench.records.compare import Comparison, Side
from ldmbench.records.difference import Verdict
from ldmbench.words import plural

__all__ = ["show_best"]


def show_best(
    side: Side, *, metrics: Sequence[str], confidence: float, margin: float, as_json: bool
) -> Verdict:
    """Print how the cells of a run stand to the best of each score and dataset.

    Args:
        side: the cells.
        metrics: only these; all that have a better way when empty.
        confidence: of the intervals.
        margin: "same" needs an interval within this share of the larger value.
        as_json: print JSON.

    Raises:
        InputError: if there is nothing to rank.
    """
    levels = {"confidence": confidence, "margin": margin}
    found = list(standings(side.records, side.replicates, better, metrics=metrics, **levels))
    if not found:
        wanted = f" of {', '.join(metrics)}" if metrics else ""
        raise InputError(
            f"{side.title}: no two cells have a score{wanted} with the same signature and a known"
            " better direction"
        )
    notes = [f"failed: {r.cell.id}: {r.reason}" for r in side.records if r.status == "failed"]
    rows = tuple(row for rivals in found for row in rivals.rows)
    verdict = Comparison(rows, ()).verdict
    if as_json:
        text = [_as_json(rivals) for rivals in found]
        more = {"correction": "holm", "best": text, "notes": notes}
        print_json({"verdict": verdict, **levels, **more})
        return verdict
    for rivals in found:
        _show(rivals)
    for note in (*notes, *unpaired(rows)):
        say(f"note: {note}")
    return verdict


def _as_json(rivals: Rivals) -> dict[str, object]:
    record, score = rivals.best
    return {
        "name": score.name,
        "protocol": score.protocol,
        "dataset": record.cell.dataset,
        "signature": score.signature,
        "best": record.cell.id,
        "value": score.value,
        "low": score.low,
        "high": score.high,
        "cells": len(rivals.rows) + 1,
        "undistinguished": rivals.undistinguished,
        "rows": [{**asdict(row), "cell": row.cell_b, "change": change(row)} for row in rivals.rows],
    }


def _show(rivals: Rivals) -> None:
    record, score = rivals.best
    others = len(rivals.rows)
    protocol = f" ({score.protocol})" if score.protocol else ""
    click.echo(inert(f"{score.name} on {record.cell.dataset}{protocol}: best is {record.cell.id}"))
    text = f"{rivals.undistinguished} of {plural(others, 'other cell')} not distinguished from it"
    blank = sum(row.p_holm is None for row in rivals.rows)
    if blank:
        text += f", {blank} without an interval"
    elif not rivals.undistinguished:
        text = (
            f"distinguished from {'the' if others == 1 else 'all'} {plural(others, 'other cell')}"
        )
    click.echo(f"  {score.value:.4g}; {text}")
    rows = sorted(rivals.rows, key=lambda row: abs(row.difference or 0.0))
    shown = [[inert(r.cell_b), f"{r.b:.4g}", *cells(r)[2:]] for r in rows if r.b is not None]
    for row in lines(shown):
        for line in row:
            click.echo(f"  {line}")
