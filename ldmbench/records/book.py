"""The book of runs: one folder per run, append-only JSONL, migrated when read."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel, ValidationError

from ldmbench.canonical import finite_json
from ldmbench.errors import InputError
from ldmbench.registry import nearest
from ldmbench.schema.record import Extras, Record, Run
from ldmbench.schema.stage import Plan
from ldmbench.store.disk import possible, told

API_VERSION = 1
MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From version N to N + 1; there is only one version so far."""

N = TypeVar("N", bound=BaseModel)


@dataclass(frozen=True)
class Book:
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
        """Return all runs, oldest first; folders that hold no run are passed over."""
        found = []
        for path in self.folder.glob("*/run.json"):
            try:
                found.append(_read(Run, path.read_text("utf-8"), path))
            except (InputError, OSError):
                continue
        return sorted(found, key=lambda run: run.started)

    def find(self, name: str | None = None) -> Run:
        """Return the run with this id or unique beginning of one; the last run when unset.

        Raises:
            InputError: if there is none, or if several begin so.
        """
        runs = self.runs()
        if not runs:
            raise InputError(
                f"no run in {self.root} yet; begin with `ldmbench run suites/smoke.yaml`"
            )
        if name is None:
            return runs[-1]
        same = [r for r in runs if r.id == name] or [r for r in runs if r.id.startswith(name)]
        if len(same) == 1:
            return same[0]
        ids = [r.id for r in same or runs[-5:]]
        if same:
            raise InputError(
                f"'{name}' begins {len(same)} runs: {', '.join(ids)}; write more of it"
            )
        raise InputError(f"no run '{name}'{nearest(name, ids)}; the last are: {', '.join(ids)}")

    def write_run(self, run: Run) -> None:
        """Write what is known of a run, all or nothing."""
        write_text(self.path(run.id) / "run.json", run.model_dump_json(indent=1))

    def append(self, record: Record) -> None:
        """Append one record to its run."""
        with told(self.root):
            self.path(record.run).mkdir(parents=True, exist_ok=True)
            with (self.path(record.run) / "records.jsonl").open("a", encoding="utf-8") as file:
                file.write(record.model_dump_json() + "\n")

    def rewrite(self, run: str, records: Iterable[Record]) -> None:
        """Replace a run's records by those rebuilt from the store."""
        lines = "".join(record.model_dump_json() + "\n" for record in records)
        write_text(self.path(run) / "records.jsonl", lines)

    def records(self, run: str) -> list[Record]:
        """Return a run's records; of several for one cell the last."""
        return read_records(self.path(run) / "records.jsonl")

    def holds(self, run: str) -> bool:
        """Tell whether the run lies in this store."""
        return (self.path(run) / "run.json").is_file()

    def plan(self, run: str) -> Plan | None:
        """Return a run's plan, or None where it is not kept or not of this version."""
        try:
            return Plan.model_validate_json((self.path(run) / "plan.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def extras(self, run: str) -> Extras:
        """Return what a report shows beside the records."""
        path = self.path(run) / "extras.json"
        return _read(Extras, path.read_text("utf-8"), path) if path.exists() else Extras()

    def write_extras(self, run: str, extras: Extras) -> None:
        """Write what a report shows beside the records."""
        write_text(self.path(run) / "extras.json", extras.model_dump_json(indent=1))


def read_records(path: Path) -> list[Record]:
    """Read a record file; of several records for one cell the last counts.

    Raises:
        InputError: naming the line that is damaged or too new.
    """
    if not path.exists():
        return []
    found: dict[str, Record] = {}
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no record file: not UTF-8 text ({error.reason})") from None
    for number, line in enumerate(text.split("\n"), start=1):  # names may hold U+2028
        if line.strip():
            record = _read(Record, line, f"{path}:{number}")
            found[record.cell.id] = record
    return list(found.values())


def _read(noun: type[N], text: str, place: object) -> N:
    try:
        return noun.model_validate(_migrated(finite_json(text), place))
    except (json.JSONDecodeError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{place}: is damaged or no {noun.__name__.lower()}: {first}") from None


def _migrated(data: Any, place: object) -> Any:
    version = data.get("api_version", API_VERSION) if isinstance(data, dict) else API_VERSION
    if not isinstance(version, int) or version < 1:
        raise InputError(f"{place}: api_version is {version!r}; it is a number from 1")
    if version > API_VERSION:
        raise InputError(
            f"{place}: api_version {version} is newer than this ldmbench understands"
            f" ({API_VERSION}); upgrade ldmbench"
        )
    while version < API_VERSION:
        data, version = MIGRATIONS[version](data), version + 1
    return data


def write_text(path: Path, text: str) -> None:
    """Write a file through a temporary neighbour, so that no half of it is ever seen."""
    with told(path.parent):
        _write(path, text)


def write_output(path: Path, content: str | Callable[[IO[bytes]], object]) -> None:
    """Write a file that the user named, as `write_text` does.

    Args:
        path: the file.
        content: a text, or what writes into the open file, for what is too large to be held twice.

    Raises:
        InputError: no such file can be written.
        StoreError: the disk is full or fails.
    """
    with told(path.parent), possible(f"{path}: cannot be written", "name another file"):
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
    except OSError:
        neighbour.unlink(missing_ok=True)
        raise
