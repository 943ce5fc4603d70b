"""What is damaged of a run, built again from its plan and the store; nothing is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ldmbench.records.choice import with_choices
from ldmbench.records.collect import collect_extras, collect_record
from ldmbench.records.pictures import draw_pictures
from ldmbench.records.record_file import moment_of
from ldmbench.schema.record import Extras, Record, Run
from ldmbench.schema.stage import Plan
from ldmbench.store.disk import Store

__all__ = ["mended_extras", "mended_records", "mended_run"]

SOURCE = "mlflow: {enabled: false}  # the suite's text was lost with run.json\n"


def mended_run(name: str, plan: Plan, records: Sequence[Record], file: Path) -> Run:
    """Return what plan and records tell of a run."""
    done = {record.cell.id for record in records if record.status == "done"}
    cells = tuple(cell.id for cell in plan.cells)
    return Run(
        id=name,
        suite=plan.suite,
        suite_digest=plan.suite_digest,
        source=SOURCE,
        state="interrupted" if not records else "done" if done.issuperset(cells) else "failed",
        started=moment_of(name, file).isoformat(timespec="seconds"),
        cells=cells,
        notes=("run.json was damaged; rebuilt from plan and records",),
    )


def mended_records(run: str, plan: Plan, store: Store, whole: Mapping[str, Record]) -> list[Record]:
    """Return the records of a run: of a cell whose own is not whole, that which the store tells.

    Args:
        run: its id.
        plan: its plan.
        store: where its artefacts lie.
        whole: cell -> the record that can be kept.
    """
    found = [
        whole.get(cell.id) or collect_record(cell, plan, store, run=run) for cell in plan.cells
    ]
    return with_choices(found, plan.choose)


def mended_extras(plan: Plan, store: Store, folder: Path) -> Extras:
    """Return curves and coding as the store tells them, and pictures drawn anew."""
    return collect_extras(plan, store, pictures=draw_pictures(plan, store, folder))
