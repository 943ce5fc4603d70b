"""What `gate` and `accept` judge: the records of a RUN, their replicates, and what is stale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ldmbench.errors import InputError
from ldmbench.records.compare import Replicas, stored_replicates
from ldmbench.records.record_file import opened_run
from ldmbench.schema.record import Record
from ldmbench.schema.stage import Plan, lineage
from ldmbench.store.disk import Store
from ldmbench.store.machine import code_digest
from ldmbench.store.units import units_of


@dataclass(frozen=True)
class Evidence:
    """Records of one run and where their replicates are found."""

    records: tuple[Record, ...]
    replicates: Replicas


def evidence(run: str | None, store: Path) -> Evidence:
    """Return the records of a run id, a unique beginning of one, or a record file.

    Artefacts of a run in a store are held against the code as it is now, so that a change after
    the run makes it stale as well.

    Raises:
        InputError: if there is no such run or file, or its records or plan cannot be read.
    """
    found, all_runs = opened_run(run, store)
    records = all_runs.records(found.id)
    if found.state in ("running", "interrupted"):
        raise InputError(
            f"run {found.id} is {found.state}; run its suite again, it continues from there"
        )
    plan = all_runs.plan(found.id)
    if plan is not None:
        records = _with_stale(records, plan, Store(all_runs.root))
    elif all_runs.holds(found.id) and (all_runs.path(found.id) / "plan.json").exists():
        raise InputError(
            f"run {found.id}: its plan.json is damaged or of another version, so nothing tells"
            " which code made its artefacts; run its suite again"
        )
    return Evidence(tuple(records), stored_replicates(*all_runs.stores, store))


def _with_stale(records: Sequence[Record], plan: Plan, store: Store) -> list[Record]:
    """Return records that name the kinds whose artefacts another code than today's made."""
    stages = plan.by_key()
    old: dict[str, bool] = {}

    def outdated(key: str) -> bool:
        if key not in old:
            stage = stages[key]
            manifests = (store.lookup(unit.address) for unit in units_of(stage))
            old[key] = any(m is not None and m.code != code_digest(stage.kind) for m in manifests)
        return old[key]

    marked = []
    for record in records:
        kinds = {stages[k].kind for k in lineage(record.keys.values(), stages) if outdated(k)}
        marked.append(record.model_copy(update={"stale": tuple(sorted({*record.stale, *kinds}))}))
    return marked
