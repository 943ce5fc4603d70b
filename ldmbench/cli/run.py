"""`ldmbench run`: from a suite to records, report and mirror."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from ldmbench.cli.options import (
    duration,
    fresh_option,
    inert,
    json_option,
    legible,
    only_option,
    opened,
    plural,
    print_json,
    say,
    set_option,
    store_option,
    suite_argument,
    typed,
)
from ldmbench.cli.outlets import mirror_of, replay, write_report
from ldmbench.cli.planning import planned
from ldmbench.cli.progress import Watch
from ldmbench.cli.summary import summary_table
from ldmbench.cli.weights import require_weights
from ldmbench.errors import InterruptError, LdmbenchError
from ldmbench.execute import cluster
from ldmbench.execute.devices import devices
from ldmbench.execute.execution import Result
from ldmbench.execute.local import execute
from ldmbench.execute.survey import check_fresh, survey
from ldmbench.plan.names import names_of
from ldmbench.records.book import Book, write_text
from ldmbench.records.collect import collect_extras, collect_record
from ldmbench.records.pictures import draw_pictures
from ldmbench.schema.record import Record, Run
from ldmbench.schema.stage import Plan
from ldmbench.store.disk import Store
from ldmbench.suite.load import LoadedSuite

MOST_WARNINGS = 6


@click.command()
@suite_argument
@set_option
@only_option
@fresh_option
@click.option("--executor", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option("--verify", is_flag=True, help="Read all files of store and sources again.")
@store_option
@json_option
def run(
    suite: Path,
    sets: Sequence[str],
    only: Sequence[str],
    fresh: Sequence[str],
    executor: str,
    verify: bool,
    store: Path,
    as_json: bool,
) -> int:
    """Train or load, sample, score, time and report everything a SUITE asks for.

    What the store holds is not made again. Ctrl-C or a crash loses at most the stage or shard in
    flight; the same command goes on from there.

    \b
    Examples:
      ldmbench run suites/quickstart.yaml
      ldmbench run suites/quickstart.yaml --set sample.count=64 --only '*/ddim-5/*'
      ldmbench run suites/smoke.yaml --fresh speed
    """
    if executor == "ray":
        cluster.require()
    loaded, plan = planned(suite, sets, only, store=store, verify=verify)
    check_fresh(plan, fresh)
    disk, book = opened(store), Book(store)
    reopened = None if fresh or verify else _reopen(plan, disk, book, executor)
    if reopened:
        return _finish(reopened, book, as_json=as_json, note="nothing to do; reopened the last run")
    if executor == "local":  # the nodes of a cluster have weights of their own
        require_weights(plan, disk, fresh=fresh)
    session = _Session(loaded, plan, disk, book)
    return session.go(executor, fresh=fresh, verify=verify, as_json=as_json)


def _reopen(plan: Plan, store: Store, book: Book, executor: str) -> Run | None:
    """Return the last run of the same suite if it is complete and nothing must run.

    Under Ray a speed counts here whichever node measured it: no cluster is asked.
    """
    same = [r for r in book.runs() if r.suite_digest == plan.suite_digest]
    cells = tuple(cell.id for cell in plan.cells)
    if not same or same[-1].state != "done" or same[-1].cells != cells:
        return None
    records = book.records(same[-1].id)
    current = {cell.id: cell.stages for cell in plan.cells}
    if {r.cell.id: r.keys for r in records} != current:
        return None
    machines = () if executor == "ray" else None
    found = survey(plan, store, machines=machines)
    if found.missing:
        return None
    _say_stale(found.stale)
    return same[-1]


class _Session:
    """One execution of a suite: writes its run, its records and its pages."""

    def __init__(self, loaded: LoadedSuite, plan: Plan, store: Store, book: Book) -> None:
        self.loaded, self.plan, self.store, self.book = loaded, plan, store, book
        self.run = Run(
            id=book.new_id(plan.suite),
            suite=plan.suite,
            suite_digest=plan.suite_digest,
            question=loaded.written.question,
            source=loaded.text,
            state="running",
            started=datetime.now(UTC).isoformat(),
            pid=os.getpid(),
            cells=tuple(cell.id for cell in plan.cells),
        )

    def go(self, executor: str, *, fresh: Sequence[str], verify: bool, as_json: bool) -> int:
        """Execute, collect, report, mirror; return the exit code."""
        engine = cluster.execute if executor == "ray" else partial(execute, devices=devices())
        folder = self.book.path(self.run.id)
        write_text(folder / "plan.json", self.plan.model_dump_json(indent=1))
        self.book.write_run(self.run)
        say(f"run {self.run.id}: {plural(len(self.plan.cells), 'cell')}")
        try:
            with Watch(names_of(self.plan), quiet=as_json) as watch:
                result = engine(
                    self.plan,
                    self.store,
                    listener=watch,
                    log=folder / "worker.log",
                    fresh=fresh,
                    verify=verify,
                )
        except InterruptError:
            self._close("interrupted", Result())
            raise
        except LdmbenchError:
            self._close("failed", Result())
            raise
        records = self._close("failed" if result.failed else "done", result)
        _say_stale(result.stale)
        return _finish(self.run, self.book, as_json=as_json, records=records, fresh=True)

    def _close(self, state: Any, result: Result) -> list[Record]:
        """Write the run and everything that can be read from the store."""
        notes = [f"{label} was made by an older code" for label in result.stale.values()]
        self.run = self.run.model_copy(
            update={
                "state": state,
                "finished": datetime.now(UTC).isoformat(),
                "executed": result.executed,
                "reused": result.reused,
                "notes": tuple(notes),
                "spans": result.spans,
            }
        )
        records = [
            collect_record(
                cell,
                self.plan,
                self.store,
                run=self.run.id,
                failed=result.failed,
                stale=tuple(result.stale),
            )
            for cell in self.plan.cells
        ]
        self.book.rewrite(self.run.id, records)
        pictures = draw_pictures(self.plan, self.store, self.book.path(self.run.id))
        extras = collect_extras(self.plan, self.store, pictures=pictures)
        self.book.write_extras(self.run.id, extras)
        self.book.write_run(self.run)
        return records


def _say_stale(stale: Mapping[str, str]) -> None:
    """Say which kinds an older code made, and how they are made anew."""
    kinds = sorted({label.split()[0] for label in stale.values()})
    if kinds:
        again = " ".join(f"--fresh {kind}" for kind in kinds)
        say(
            f"note: {plural(len(stale), 'artefact')} of an older code"
            f" ({', '.join(kinds)}) served as they are; to make them anew: {again}"
        )


def _finish(
    run: Run,
    book: Book,
    *,
    as_json: bool,
    records: list[Record] | None = None,
    note: str = "",
    fresh: bool = False,
) -> int:
    """Write the pages if the run is new, and say where everything is."""
    records = records if records is not None else book.records(run.id)
    page = write_report(run, book, again=fresh)
    failed = [r for r in records if r.status == "failed"]
    if as_json:
        print_json(
            {
                "run": run.id,
                "executed": run.executed if fresh else 0,
                "reused": run.reused,
                "cells": [r.cell.id for r in records],
                "failed": {r.cell.id: r.reason for r in failed},
                "report": str(page),
                "records": str(book.path(run.id) / "records.jsonl"),
            }
        )
    else:
        click.echo(summary_table(records))
        _say_warnings(records)
        _say_where(run, book, page, note=note, failed=failed)
    for warning in replay(book):
        say(f"warning: {inert(warning)}")
    return 4 if failed else 0


def _say_warnings(records: Sequence[Record]) -> None:
    """Say what makes numbers less than they seem, each sentence once, and no page of them."""
    texts = list(dict.fromkeys(text for record in records for text in record.warnings))
    for text in texts[:MOST_WARNINGS]:
        say(f"warning: {legible(text)}")
    if len(texts) > MOST_WARNINGS:
        say(f"warning: {len(texts) - MOST_WARNINGS} more are in the records")


def _say_where(run: Run, book: Book, page: Path, *, note: str, failed: list[Record]) -> None:
    if note:
        say(note)
    for record in failed:
        say(legible(f"failed: {inert(record.cell.id)}: {record.reason}"))
    spent = run.spans.get("all")
    say(f"run      {run.id}" + (f" ({duration(spent)})" if spent else ""))
    say(f"report   {page}")
    say(f"records  {book.path(run.id) / 'records.jsonl'}")
    mirror = mirror_of(run, book)
    if mirror:
        say(f"mlflow   {mirror}")
    if failed:
        say(f"log      {book.path(run.id) / 'worker.log'}; the same command tries again")
    table = typed("report", run.id, "--format", "markdown", store=book.root)
    say(f"next     open the report in a browser, or: {table}")
