"""`ldmbench status`: what is done, running and failed."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import click

from ldmbench.cli.options import (
    json_option,
    print_json,
    run_argument,
    say,
    store_option,
    typed,
)
from ldmbench.cli.terminal import fitted, inert, legible
from ldmbench.records.record_file import opened_run
from ldmbench.records.runs import Runs
from ldmbench.schema.record import Run
from ldmbench.session.pages import replay
from ldmbench.store.disk import Store
from ldmbench.store.units import units_of
from ldmbench.words import plural

UNMEASURED = "not measured: "
"""How the reason of a cell begins that lacks stages and of which none failed."""


@click.command()
@run_argument
@store_option
@json_option
def status(run: str | None, store: Path, as_json: bool) -> None:
    """Show the state of a RUN, and send MLflow what it has not received.

    RUN is a run id, a unique beginning of one, or a record file; the last run when unset.

    \b
    Examples:
      ldmbench status
      ldmbench status smoke --json
    """
    for warning in replay(Runs(store)):
        say(f"warning: {inert(warning)}")
    found, all_runs = opened_run(run, store)
    state = _progress(found, all_runs)
    if as_json:
        print_json(state)
        return
    click.echo(f"run {found.id}: {state['state']}")
    for kind, counts in state["stages"].items():
        click.echo(f"  {kind:<16} {counts['done']:>6} of {plural(counts['all'], 'unit')}")
    late = {c: why for c, why in state["failed"].items() if why and why.startswith(UNMEASURED)}
    for cell, reason in state["failed"].items():
        if cell not in late:
            click.echo(fitted(legible(f"  failed {inert(cell)}: {reason}")))
    ending = f", {len(late):,} not measured yet" if late else ""
    click.echo(f"  {state['cells_done']} of {plural(state['cells'], 'cell')} done{ending}")
    if state["next"]:
        say(f"next: {state['next']}")


def _progress(run: Run, all_runs: Runs) -> dict[str, Any]:
    plan, store = all_runs.plan(run.id), Store(all_runs.root)
    done: Counter[str] = Counter()
    everything: Counter[str] = Counter()
    for stage in plan.stages if plan else ():
        for unit in units_of(stage):
            everything[stage.kind] += 1
            done[stage.kind] += store.lookup(unit.address) is not None
    records = all_runs.records(run.id)
    return {
        "run": run.id,
        "state": _state(run),
        "stages": {kind: {"done": done[kind], "all": count} for kind, count in everything.items()},
        "cells": len(run.cells),
        "cells_done": sum(record.status == "done" for record in records),
        "failed": {r.cell.id: r.reason for r in records if r.status == "failed"},
        "next": _next(run, all_runs),
    }


def _next(run: Run, all_runs: Runs) -> str:
    """Return what to do or to type next."""
    name = run.id if all_runs.holds(run.id) else ""
    if run.state == "done":
        return typed("report", name, store=all_runs.root) if name else ""
    again = "run its suite again, it continues from what is kept"
    if run.state == "failed" and name:
        return f"see {all_runs.path(name) / 'worker.log'}, then {again}"
    return again if _state(run) != "running" else ""


def _state(run: Run) -> str:
    if run.state != "running" or run.pid is None:
        return run.state
    try:
        if run.pid < 1:  # a group of processes, or all
            return "killed"
        os.kill(run.pid, 0)
    except (ProcessLookupError, OverflowError):
        return "killed"
    except PermissionError:
        return "running"
    return "running"
