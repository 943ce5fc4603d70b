"""`ldmbench run`: from a suite to records, report and mirror."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from ldmbench.cli.options import (
    Whole,
    compile_option,
    duration,
    fresh_option,
    json_option,
    only_option,
    print_json,
    say,
    say_file,
    set_option,
    store_option,
    suite_argument,
    typed,
)
from ldmbench.cli.progress import Watch
from ldmbench.cli.summary import summary_table
from ldmbench.cli.terminal import inert, legible
from ldmbench.cli.weights import require_weights
from ldmbench.execute import cluster
from ldmbench.records.runs import Runs
from ldmbench.schema.record import Record, Run
from ldmbench.session.pages import mirror_of, replay, write_report
from ldmbench.session.planning import planned
from ldmbench.session.run import Finished, run_suite
from ldmbench.words import plural

MOST_WARNINGS = 6


@click.command()
@suite_argument
@set_option
@only_option
@fresh_option
@compile_option
@click.option("--executor", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option(
    "--devices",
    "team",
    type=Whole(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Devices that train one model together: GPUs, or processes on the processor.",
)
@click.option("--verify", is_flag=True, help="Read all files of store and sources again.")
@store_option
@json_option
def run(
    suite: Path,
    sets: Sequence[str],
    only: Sequence[str],
    fresh: Sequence[str],
    no_compile: bool,
    executor: str,
    team: int,
    verify: bool,
    store: Path,
    as_json: bool,
) -> int:
    """Train or load, sample, score, time and report everything a SUITE asks for.

    What the store holds is not made again. Ctrl-C or a crash loses at most the stage or shard in
    flight; the same command continues from there.

    \b
    Examples:
      ldmbench run suites/quickstart.yaml
      ldmbench run suites/quickstart.yaml --set sample.count=64 --only '*/ddim-5/*'
      ldmbench run suites/smoke.yaml --fresh speed
      ldmbench run suites/downsampling_sweep.yaml --devices 4
    """
    if executor == "ray":
        cluster.require()
    loaded, plan = planned(
        suite, sets, only, store=store, verify=verify, may_compile=not no_compile
    )
    say_file(suite, loaded.path)

    def watching(run: Run) -> Watch:
        say(f"run {run.id}: {plural(len(plan.cells), 'cell')}")
        return Watch(plan, quiet=as_json)

    found = run_suite(
        loaded,
        plan,
        store,
        executor=executor,
        team=team,
        fresh=fresh,
        verify=verify,
        before=partial(require_weights, plan, fresh=fresh),
        watching=watching,
    )
    return _finish(found, Runs(store), as_json=as_json)


def _finish(found: Finished, all_runs: Runs, *, as_json: bool) -> int:
    """Write the page if the run is new, and say where everything is."""
    run, records = found.run, found.records
    for text in found.stale_notes():
        say(f"note: {text}")
    page = write_report(run, all_runs, again=not found.reopened)
    failed = [r for r in records if r.status == "failed"]
    if as_json:
        print_json(
            {
                "run": run.id,
                "executed": 0 if found.reopened else run.executed,
                "reused": run.reused,
                "cells": [r.cell.id for r in records],
                "failed": {r.cell.id: r.reason for r in failed},
                "report": str(page),
                "records": str(all_runs.path(run.id) / "records.jsonl"),
            }
        )
    else:
        click.echo(summary_table(records))
        _say_warnings(records)
        note = "nothing to do; reopened the last run" if found.reopened else ""
        _say_where(run, all_runs, page, note=note, failed=failed)
    for warning in replay(all_runs):
        say(f"warning: {inert(warning)}")
    mirror = mirror_of(run, all_runs)
    if mirror and not as_json:
        say(f"mlflow   {mirror}")
    return 4 if failed else 0


def _say_warnings(records: Sequence[Record]) -> None:
    """Say what makes numbers less than they seem, each sentence once, and no page of them."""
    texts = list(dict.fromkeys(text for record in records for text in record.warnings))
    for text in texts[:MOST_WARNINGS]:
        say(f"warning: {legible(text)}")
    if len(texts) > MOST_WARNINGS:
        say(f"warning: {len(texts) - MOST_WARNINGS} more are in the records")


def _say_where(run: Run, all_runs: Runs, page: Path, *, note: str, failed: list[Record]) -> None:
    if note:
        say(note)
    for record in failed:
        say(legible(f"failed: {inert(record.cell.id)}: {record.reason}"))
    spent = run.spans.get("all")
    say(f"run      {run.id}" + (f" ({duration(spent)})" if spent else ""))
    say(f"report   {page}")
    say(f"records  {all_runs.path(run.id) / 'records.jsonl'}")
    if failed:
        say(f"log      {all_runs.path(run.id) / 'worker.log'}; the same command tries again")
    table = typed("report", run.id, "--format", "markdown", store=all_runs.root)
    say(f"next     open the report in a browser, or: {table}")
