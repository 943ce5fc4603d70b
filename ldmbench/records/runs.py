"""Runs on disk: one folder per run, append-only JSONL, migrated when read."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from ldmbench.errors import InputError, StoreError
from ldmbench.records.digests import FILE as DIGESTS
from ldmbench.records.digests import digests_of, is_changed, known_of, pictures_of
from ldmbench.records.reading import NewerError, read_noun, read_records, read_text, whole_records
from ldmbench.registry import nearest, resolve
from ldmbench.schema.record import Extras, Record, Run
from ldmbench.schema.stage import Plan
from ldmbench.store.disk import Store
from ldmbench.store.faults import explaining_os_errors, make_room, possible
from ldmbench.words import first_line

LOG = logging.getLogger("ldmbench")
RECORDS, EXTRAS, PLAN = "records.jsonl", "extras.json", "plan.json"
CHANGED = "it does not have the digest it was written with"


@dataclass(frozen=True)
class Runs:
    """The runs of a store."""

    root: Path

    @property
    def stores(self) -> tuple[Path, ...]:
        """The stores in which replicates of its scores may lie."""
        return (self.root,)

    @property
    def folder(self) -> Path:
        """The folder that holds one folder per run."""
        return self.root / "runs"

    def new_id(self, suite: str) -> str:
        """Return a run id: <suite>-<UTC>-<4 hex>."""
        return f"{suite}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"

    def path(self, run: str) -> Path:
        """Return a run's folder."""
        return self.folder / run

    def runs(self) -> list[Run]:
        """Return all runs, oldest first; folders that hold no run are passed over.

        A run.json that is damaged, or of another folder, is set aside and rebuilt where plan and
        records tell enough.
        """
        found = []
        folders = self.folder.iterdir() if self.folder.is_dir() else ()
        for path in (folder / "run.json" for folder in folders):
            if not os.path.lexists(path):  # which passes over no dangling link
                continue
            try:
                found.append(self._own_run(path))
            except NewerError:
                continue
            except (InputError, OSError) as error:
                found += self._rebuilt(path, error)
        return sorted(found, key=lambda run: run.started)

    def _own_run(self, path: Path) -> Run:
        run = read_noun(Run, read_text(path), path)
        if run.id != path.parent.name:
            raise InputError(f"{path}: is the run.json of another run, {run.id!r}")
        return run

    def _rebuilt(self, path: Path, error: Exception) -> list[Run]:
        """Return the run of a damaged run.json, if it can be known, and write it."""
        name = path.parent.name
        plan = self.plan(name)
        self._put_aside(path, error, "rebuilt from its plan" if plan else "its run is left out")
        if plan is None:
            return []
        try:
            records = self.records(name)
        except (InputError, OSError):
            records = []
        run: Run = _mended("run", name, plan, records, path.parent / PLAN)
        with contextlib.suppress(StoreError):  # another file may state it
            self.write_run(run)
        return [run]

    def _put_aside(self, path: Path, why: object, end: str) -> None:
        Store(self.root).put_aside(path, str(why), end=end)

    def find(self, name: str | None = None) -> Run:
        """Return the run with this id or unique beginning of one; the last run when unset.

        Raises:
            InputError: if there is none, or if several begin so.
        """
        runs = self.runs()
        if not runs:
            raise InputError(f"no run in {self.root} yet; begin with `ldmbench run smoke`")
        if name is None:
            return runs[-1]
        same = [r for r in runs if r.id == name] or [r for r in runs if r.id.startswith(name)]
        if len(same) == 1:
            return same[0]
        ids = [r.id for r in same or runs[-5:]]
        if same:
            raise InputError(
                f"'{name}' begins {len(same)} runs: {', '.join(ids)}; write more characters"
            )
        raise InputError(f"no run '{name}'{nearest(name, ids)}; the last are: {', '.join(ids)}")

    def write_run(self, run: Run) -> None:
        """Write what is known of a run, all or nothing."""
        write_text(self.path(run.id) / "run.json", run.model_dump_json(indent=1))

    def append(self, record: Record) -> None:
        """Append one record to its run."""
        with explaining_os_errors(self.root):
            self.path(record.run).mkdir(parents=True, exist_ok=True)
            with (self.path(record.run) / RECORDS).open("a", encoding="utf-8") as file:
                file.write(record.model_dump_json() + "\n")

    def rewrite(self, run: str, records: Iterable[Record]) -> None:
        """Replace a run's records by those rebuilt from the store."""
        lines = "".join(record.model_dump_json() + "\n" for record in records)
        write_text(self.path(run) / RECORDS, lines)

    def records(self, run: str) -> list[Record]:
        """Return a run's records; of several for one cell the last.

        Those of a file that is damaged are rebuilt from the store.

        Raises:
            InputError: it is damaged, and no plan tells what to rebuild; or a newer version's.
        """
        path = self.path(run) / RECORDS
        known = known_of(self.path(run))
        try:
            if is_changed(self.path(run), RECORDS, known):
                raise InputError(f"{path}: {CHANGED}")
            return read_records(path)
        except NewerError:
            raise
        except InputError as error:
            plan = self.plan(run)
            if plan is None:
                raise
            whole = whole_records(path, known)
            records: list[Record] = _mended("records", run, plan, Store(self.root), whole)
            if os.path.lexists(path):
                self._put_aside(path, error, "rebuilt from the store")
            with contextlib.suppress(StoreError):
                self.rewrite(run, records)
                self.write_digests(run, [RECORDS])
            return records

    def holds(self, run: str) -> bool:
        """Tell whether the run lies in this store."""
        return (self.path(run) / "run.json").is_file()

    def plan(self, run: str) -> Plan | None:
        """Return a run's plan, or None where it is not kept, damaged, or not of this version."""
        path = self.path(run) / PLAN
        if not os.path.lexists(path):
            return None
        try:
            if is_changed(self.path(run), PLAN, known_of(self.path(run))):
                raise ValueError(CHANGED)
            return Plan.model_validate_json(read_text(path))
        except (OSError, ValueError) as error:
            why = first_line(error)
            LOG.warning("%s: is damaged or of another version (%s)", path, why)
            return None

    def extras(self, run: str) -> Extras:
        """Return what a report shows beside the records; built again where it is damaged."""
        folder, known = self.path(run), known_of(self.path(run))
        path = folder / EXTRAS
        found: Extras | None = None
        changed = {n: CHANGED for n in known if is_changed(folder, n, known)}
        lost = {n: why for n, why in changed.items() if n == EXTRAS or n.startswith("pictures/")}
        try:
            if EXTRAS not in lost:
                there = os.path.lexists(path)
                found = read_noun(Extras, read_text(path), path) if there else Extras()
        except NewerError:
            raise
        except (InputError, OSError) as error:
            lost[EXTRAS] = str(error)
        if found is not None and not lost:
            return found
        plan = self.plan(run)
        for name, why in lost.items():
            if os.path.lexists(folder / name):
                end = "built again from the store" if plan else "left out"
                self._put_aside(folder / name, f"{folder / name}: {why}", end)
        if plan is None:
            return found or Extras()
        extras: Extras = _mended("extras", plan, Store(self.root), folder)
        with contextlib.suppress(StoreError):
            self.write_extras(run, extras)
            self.write_digests(run, [EXTRAS, *pictures_of(folder)])
        return extras

    def write_digests(self, run: str, names: Sequence[str] = ()) -> None:
        """Write the digests of files that a run keeps, of all when none is named."""
        folder = self.path(run)
        names = names or [RECORDS, EXTRAS, PLAN, *pictures_of(folder)]
        write_text(folder / DIGESTS, digests_of(folder, names, lines=RECORDS))

    def write_extras(self, run: str, extras: Extras) -> None:
        """Write what a report shows beside the records."""
        write_text(self.path(run) / EXTRAS, extras.model_dump_json(indent=1))


def _mended(what: str, *given: Any) -> Any:
    """Return what is rebuilt by records/mend.py, which is slow to import and rarely needed."""
    make: Any = resolve(f"ldmbench.records.mend:mended_{what}")
    return make(*given)


def write_text(path: Path, content: str | Callable[[IO[bytes]], object]) -> None:
    """Write a file through a temporary neighbour, so that no half of it is ever seen.

    Args:
        path: a file in a store.
        content: a text, or what writes into the open file.
    """
    with explaining_os_errors(path.parent):
        make_room(path)
        _write(path, content)


def write_output(path: Path, content: str | Callable[[IO[bytes]], object]) -> None:
    """Write a file that the user named, as `write_text` does.

    Args:
        path: the file.
        content: a text, or what writes into the open file, for what is too large to be held twice.

    Raises:
        InputError: no such file can be written.
        StoreError: the disk is full or fails.
    """
    with (
        explaining_os_errors(path.parent),
        possible(f"{path}: cannot be written", "name another file"),
    ):
        _write(path, content)


def _write(path: Path, content: str | Callable[[IO[bytes]], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    neighbour = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with neighbour.open("wb") as file:
            if isinstance(content, str):
                file.write(content.encode("utf-8"))
            else:
                content(file)
        neighbour.replace(path)
    except BaseException:  # Ctrl-C too
        neighbour.unlink(missing_ok=True)
        raise
