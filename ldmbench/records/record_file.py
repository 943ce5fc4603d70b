"""Record files: a run that lies in no store, read as if it lay in one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ldmbench.errors import InputError
from ldmbench.records.reading import read_records
from ldmbench.records.runs import Runs
from ldmbench.schema.record import Extras, Record, Run
from ldmbench.schema.stage import Plan

__all__ = ["RecordFile", "moment_of", "opened_run"]

SUFFIXES = (".jsonl", ".json", ".yaml", ".yml", ".html", ".csv", ".md", ".txt")
_ID = re.compile(r"[\w.+-]+", re.ASCII)
_MOMENT = re.compile(r"-(\d{8}T\d{6})Z?-[0-9a-f]{4}$")


@dataclass(frozen=True)
class RecordFile(Runs):
    """The only run of a file: its records lie in a file of their own; `root` is where pages go."""

    file: Path

    @property
    def stores(self) -> tuple[Path, ...]:
        """The store that the file may lie in, as STORE/runs/RUN/FILE, and the one at hand."""
        return (*self.file.resolve().parents[2:3], self.root)

    def path(self, run: str) -> Path:
        """Return the folder the file lies in."""
        return self.file.parent

    def runs(self) -> list[Run]:
        """Return no run: a file has no history."""
        return []

    def records(self, run: str) -> list[Record]:
        """Return the records of the file."""
        return read_records(self.file)

    def holds(self, run: str) -> bool:
        """Return False: it lies in no store."""
        return False

    def plan(self, run: str) -> Plan | None:
        """Return None: a plan lies with the run."""
        return None

    def extras(self, run: str) -> Extras:
        """Return nothing: curves and pictures lie with the run, not in a record file."""
        return Extras()


def _is_file_name(name: str) -> bool:
    """Tell whether a text means a file and not the id of a run."""
    path = Path(name)
    return path.is_file() or path.is_dir() or path.suffix in SUFFIXES or "/" in name


def opened_run(name: str | None, store: Path) -> tuple[Run, Runs]:
    """Return a run and the `Runs` that it is one of: of the store, or of a record file.

    A file that lies in its run's folder brings curves and pictures along.

    Args:
        name: a run id, a unique beginning of one, or a record file; None is the last run.
        store: where runs lie.

    Raises:
        InputError: if there is no such run or file, or the file holds no records.
    """
    if name is None or not _is_file_name(name):
        all_runs = Runs(store)
        return all_runs.find(name), all_runs
    file = Path(name)
    if file.is_dir():
        raise InputError(f"{name}: is a folder; give a run id or its records.jsonl")
    if not file.is_file():
        raise InputError(f"{name}: no such record file; give a run id or a records.jsonl")
    if file.suffix in (".yaml", ".yml"):
        raise InputError(f"{name}: is no record file; if it is a suite: `ldmbench run {name}`")
    inside = _within(file)
    if inside is not None:
        return inside
    try:
        records = read_records(file)
    except InputError:
        if file.suffix == ".jsonl":
            raise
        raise InputError(f"{name}: is no record file; give a run id or a records.jsonl") from None
    if not records:
        raise InputError(f"{name}: has no record; use a run id or a records.jsonl")
    return _run_of(records, file), RecordFile(store, file)


def _within(file: Path) -> tuple[Run, Runs] | None:
    """Return the run of STORE/runs/RUN/records.jsonl."""
    folder = file.resolve().parent
    if file.name != "records.jsonl" or folder.parent.name != "runs":
        return None
    all_runs = Runs(folder.parents[1])
    return next(((run, all_runs) for run in all_runs.runs() if run.id == folder.name), None)


def moment_of(name: str, file: Path) -> datetime:
    """Return when a run began: what its id says, else the time of a file of it."""
    found = _MOMENT.search(name)
    with contextlib.suppress(ValueError):  # a month 13
        if found:
            return datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


def _run_of(records: Sequence[Record], file: Path) -> Run:
    """Return what records tell of their run; those of several runs are named by their file."""
    ids = {record.run for record in records}
    (name,) = ids if len(ids) == 1 else (file.stem,)
    if not _ID.fullmatch(name) or name.startswith("."):  # it becomes the name of a page
        name = re.sub(r"[^\w+-]+", "_", file.stem, flags=re.ASCII)
    found = _MOMENT.search(name)
    moment = moment_of(name, file)
    return Run(
        id=name,
        suite=name[: found.start()] if found else name,
        suite_digest="",
        state="failed" if any(r.status == "failed" for r in records) else "done",
        started=moment.isoformat(timespec="seconds"),
        cells=tuple(record.cell.id for record in records),
    )
