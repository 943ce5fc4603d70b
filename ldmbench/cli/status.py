"""`ldmbench status`: what is done, running and failed."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import click

from ldmbench.cli.options import (
    inert,
    json_option,
    plural,
    print_json,
    run_argument,
    say,
    store_option,
)
from ldmbench.cli.outlets import replay
from ldmbench.records.book import Book
from ldmbench.schema.record import Run
from ldmbench.schema.stage import Plan
from ldmbench.store.disk import Store
from ldmbench.store.units import units_of


@click.command()
@run_argument
@store_option
@json_option
def status(run: str | None, store: Path, as_json: bool) -> None:
    """Show how far a RUN (the last one when unset) is; hand MLflow what it has not taken yet.

    \b
    Examples:
      ldmbench status
      ldmbench status smoke --json
    """
    book = Book(store)
    for warning in replay(book):
        say(f"warning: {warning}")
    found = book.find(run)
    told = _progress(found, book)
    if as_json:
        print_json(told)
        return
    click.echo(f"run {found.id}: {told['state']}")
    for kind, counts in told["stages"].items():
        click.echo(f"  {kind:<16} {counts['done']:>6} of {plural(counts['all'], 'unit')}")
    for cell, reason in told["failed"].items():
        click.echo(f"  failed {inert(cell)}: {reason}")
    click.echo(f"  {told['cells_done']} of {plural(told['cells'], 'cell')} done")


def _progress(run: Run, book: Book) -> dict[str, Any]:
    plan = Plan.model_validate_json((book.path(run.id) / "plan.json").read_text())
    store = Store(book.root)
    done: Counter[str] = Counter()
    everything: Counter[str] = Counter()
    for stage in plan.stages:
        for unit in units_of(stage):
            everything[stage.kind] += 1
            done[stage.kind] += store.lookup(unit.address) is not None
    records = book.records(run.id)
    return {
        "run": run.id,
        "state": _state(run),
        "stages": {kind: {"done": done[kind], "all": count} for kind, count in everything.items()},
        "cells": len(plan.cells),
        "cells_done": sum(record.status == "done" for record in records),
        "failed": {r.cell.id: r.reason for r in records if r.status == "failed"},
    }


def _state(run: Run) -> str:
    if run.state != "running" or run.pid is None:
        return run.state
    try:
        os.kill(run.pid, 0)
    except ProcessLookupError:
        return "killed; run the suite again to go on"
    except PermissionError:
        return "running"
    return "running"
