"""One execution of a suite: what is missing is made, and run, records and pictures are written."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path

from ldmbench.errors import InputError, InterruptError, LdmbenchError
from ldmbench.execute import cluster
from ldmbench.execute.devices import cores, devices
from ldmbench.execute.execution import Listener, Result
from ldmbench.execute.fitness import check_fitness
from ldmbench.execute.local import execute
from ldmbench.execute.survey import check_fresh, survey
from ldmbench.execute.team import check_team
from ldmbench.records.choice import with_choices
from ldmbench.records.collect import collect_extras, collect_record
from ldmbench.records.pictures import draw_pictures
from ldmbench.records.runs import Runs, write_text
from ldmbench.schema.params import TrainedDenoiser, TrainedStage
from ldmbench.schema.record import Record, Run
from ldmbench.schema.stage import Plan
from ldmbench.session.live import Live
from ldmbench.store.disk import Store
from ldmbench.suite.load import LoadedSuite
from ldmbench.words import plural

LOG = logging.getLogger("ldmbench")
Watching = Callable[[Run], AbstractContextManager[Listener]]


@dataclass(frozen=True)
class Finished:
    """A run that has ended.

    Attributes:
        run: the run.
        records: in the order of its cells.
        stale: what an older code made and was served, by its unit.
        reopened: nothing had to be made: it is the suite's last run.
    """

    run: Run
    records: list[Record]
    stale: Mapping[str, str] = field(default_factory=dict)
    reopened: bool = False

    def stale_notes(self) -> list[str]:
        """Say which kinds an older code made, and how they are computed again."""
        kinds = sorted({label.split()[0] for label in self.stale.values()})
        if not kinds:
            return []
        again = " ".join(f"--fresh {kind}" for kind in kinds)
        return [
            f"{plural(len(self.stale), 'artefact')} of older code ({', '.join(kinds)})"
            f" served as they are; to compute them again: {again}"
        ]


def run_suite(
    loaded: LoadedSuite,
    plan: Plan,
    root: Path,
    *,
    executor: str,
    team: int = 1,
    fresh: Sequence[str],
    verify: bool,
    before: Callable[[Store], None],
    watching: Watching,
) -> Finished:
    """Make what a plan lacks, or reopen the suite's last run where nothing is missing.

    Args:
        loaded: the suite.
        plan: its plan.
        root: the store's folder.
        executor: "local" or "ray".
        team: devices that train one model.
        fresh: stage kinds to make although the store has them.
        verify: read all files again.
        before: called on the store before anything is made here: brings what stages will read.
        watching: run -> the listener that shows progress.

    Raises:
        InputError: an unknown stage kind, a device that cannot be used or lacks a precision, a
            store that cannot be written.
        InterruptError: the run was interrupted; what is finished is kept.
    """
    check_fresh(plan, fresh)
    _check_batches(plan, team)
    if executor == "local":  # refused, if at all, before a folder is made
        check_team(team, devices(), cores())
    store, all_runs = Store(root), Runs(root)
    store.open()
    found = None if fresh or verify else _reopened(plan, store, all_runs, executor)
    if found is not None:
        return found
    if executor == "local":  # the nodes of a cluster have devices and weights of their own
        check_fitness(plan, store, devices())
        before(store)
    session = _Session(loaded, plan, store, all_runs)
    return session.go(executor, watching, team=team, fresh=fresh, verify=verify)


def _check_batches(plan: Plan, team: int) -> None:
    """Refuse more devices than a batch has images.

    Raises:
        InputError: naming the model.
    """
    stages = plan.by_key()
    for cell, kind in product(plan.cells, ("autoencoder", "denoiser")):
        made = stages.get(cell.stages.get(kind, ""))
        params = made.params if made else None
        if isinstance(params, TrainedDenoiser | TrainedStage) and params.section.batch < team:
            raise InputError(
                f"--devices {team}: the {kind} of models.{cell.model} trains with batches of"
                f" {params.section.batch} images, which the devices share; allowed: 1 to"
                f" {params.section.batch}"
            )


def _reopened(plan: Plan, store: Store, all_runs: Runs, executor: str) -> Finished | None:
    """Return the last run of the same suite if it is complete and nothing must run.

    Under Ray a speed counts here whichever node measured it: no cluster is asked.
    """
    same = [r for r in all_runs.runs() if r.suite_digest == plan.suite_digest]
    cells = tuple(cell.id for cell in plan.cells)
    if not same or same[-1].state != "done" or same[-1].cells != cells:
        return None
    try:
        records = all_runs.records(same[-1].id)
    except InputError as error:
        LOG.warning("%s; the suite runs again", error)
        return None
    current = {cell.id: cell.stages for cell in plan.cells}
    if {r.cell.id: r.keys for r in records} != current:
        return None
    machines = () if executor == "ray" else None
    found = survey(plan, store, machines=machines)
    if found.missing:
        return None
    return Finished(same[-1], records, found.stale, reopened=True)


class _Session:
    """One execution of a suite: writes its run, its records and its pages."""

    def __init__(self, loaded: LoadedSuite, plan: Plan, store: Store, all_runs: Runs) -> None:
        self.loaded, self.plan, self.store, self.book = loaded, plan, store, all_runs
        self.run = Run(
            id=all_runs.new_id(plan.suite),
            suite=plan.suite,
            suite_digest=plan.suite_digest,
            question=loaded.written.question,
            source=loaded.text,
            state="running",
            started=datetime.now(UTC).isoformat(),
            pid=os.getpid(),
            cells=tuple(cell.id for cell in plan.cells),
        )

    def go(
        self,
        executor: str,
        watching: Watching,
        *,
        team: int,
        fresh: Sequence[str],
        verify: bool,
    ) -> Finished:
        """Execute and collect."""
        engine = cluster.execute if executor == "ray" else partial(execute, devices=devices())
        folder = self.book.path(self.run.id)
        write_text(folder / "plan.json", self.plan.model_dump_json(indent=1))
        self.book.write_run(self.run)
        try:
            with watching(self.run) as listener:
                live = Live(listener, self.run, self.plan, self.store, self.book)
                try:
                    result = engine(
                        self.plan,
                        self.store,
                        listener=live,
                        log=folder / "worker.log",
                        team=team,
                        fresh=fresh,
                        verify=verify,
                    )
                finally:
                    live.close()
            records = self._close("failed" if result.failed else "done", result)
        except (InterruptError, KeyboardInterrupt):
            self._write("interrupted", Result())  # at once: a second signal may come
            self._close("interrupted", Result())
            raise
        except LdmbenchError:
            self._close("failed", Result())
            raise
        return Finished(self.run, records, result.stale)

    def _write(self, state: object, result: Result) -> None:
        """Write what is known of the run."""
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
        self.book.write_run(self.run)

    def _close(self, state: object, result: Result) -> list[Record]:
        """Write everything that can be read from the store, and then the run."""
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
        records = with_choices(records, self.plan.choose)
        self.book.rewrite(self.run.id, records)
        pictures = draw_pictures(self.plan, self.store, self.book.path(self.run.id))
        extras = collect_extras(self.plan, self.store, pictures=pictures)
        self.book.write_extras(self.run.id, extras)
        self.book.write_digests(self.run.id)
        self._write(state, result)
        return records
