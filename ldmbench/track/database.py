"""The SQLite file of a mirror: made whole or not at all, and what becomes of half of one."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote

from filelock import FileLock, Timeout
from mlflow.store.db import utils

from ldmbench.track.reach import address_of

__all__ = ["DatabaseError", "Made", "file_of", "ready"]

State = Literal["absent", "whole", "older", "newer", "damaged"]

BESIDE = ("-journal", "-wal", "-shm")
"""Ends of the files that SQLite keeps beside a database."""
FOR_NOW = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_BUSY", "SQLITE_LOCKED")
"""What says nothing of a database, only of the moment."""
PATIENCE = 120.0
"""Seconds to wait for another process that makes the same database."""
BUSY = 20.0
"""Seconds to wait for a writer."""
VERSION = {"alembic_version"}
BORN = {"experiments": "where experiment_id != 0", "workspaces": "limit 1, 1"}
"""Tables in which a database that nobody has used holds a row -> how to ask for others."""


class DatabaseError(Exception):
    """A file that no mirror can be written to, in one sentence."""


@dataclass(frozen=True)
class Made:
    """A database that was made now.

    Attributes:
        path: where it is.
        aside: where one that could not be used is kept.
    """

    path: Path
    aside: Path | None

    @property
    def messages(self) -> list[str]:
        """A sentence, if anybody has to know."""
        if self.aside is None:
            return []
        return [
            f"MLflow's database {self.path} was incomplete or damaged: it is kept as"
            f" {self.aside.name} and a new one receives every run again"
        ]


def file_of(uri: str) -> Path | None:
    """Return the file behind an SQLite address; None where it is none or lives in memory."""
    if not uri.startswith("sqlite"):
        return None
    url = utils.sqlalchemy.engine.make_url(uri)
    name = url.database or ":memory:"
    if name.startswith("file:"):
        name = unquote(name.removeprefix("file:").partition("?")[0])
    return None if name == ":memory:" else Path(os.path.abspath(name)).resolve()  # noqa: PTH100


def ready(path: Path, *, own: bool) -> Made | None:
    """Make a database where there is none that can be used; return None if nothing was done.

    A new one is made beside and moved into place, under a lock, so that nobody finds half of one.

    Args:
        path: the SQLite file.
        own: it holds mirrored runs alone, so that it can be replaced whatever happened to it;
            of others only one that holds nothing yet is touched.

    Raises:
        DatabaseError: if it cannot be used, nor be made.
    """
    if path.is_dir():
        raise DatabaseError(f"{path} is a folder, no database; move it away")
    if _state(path, whole=own) == "whole":
        _require_writable(path)
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    _require_writable(path)
    try:
        with FileLock(path.with_name(f"{path.name}.lock")).acquire(timeout=PATIENCE):
            return _made_ready(path, own=own)
    except Timeout:
        raise DatabaseError(f"another process is still making {path}") from None


def _made_ready(path: Path, *, own: bool) -> Made | None:
    state = _state(path, whole=own)  # another process may have made it while this one waited
    if state == "newer":
        raise DatabaseError(
            f"{path} was made by a newer MLflow than {metadata.version('mlflow')}, which is"
            " installed here: install that version, or set another mlflow.tracking_uri"
        )
    if state == "whole" or (state == "older" and not own and not _is_unused(path)):
        return None  # MLflow says itself how others' databases are brought up to date
    if state == "damaged" and not own and not _is_unused(path):
        raise DatabaseError(f"{path} is damaged or no database of MLflow; name another place")
    if state == "older" and not _is_unused(path) and _make(path, source=path):
        return None
    aside = _set_aside(path)
    _make(path)
    return Made(path, aside)


def _state(path: Path, *, whole: bool = False) -> State:
    """Tell what a file is, from MLflow's tables and their version; read it whole if asked."""
    if not path.exists() or path.stat().st_size == 0:
        return "absent"
    try:
        with closing(_opened(path)) as there:
            tables = _tables(there)
            row = there.execute("select version_num from alembic_version").fetchone()
            if whole and there.execute("pragma quick_check(1)").fetchone() != ("ok",):
                return "damaged"
    except sqlite3.Error as error:
        return _state_of_error(error, path)
    version = row[0] if row else None
    known, head = _versions()
    if version == head:
        return "whole" if _wanted() <= tables else "damaged"
    if version in known:
        return "older"
    return "newer" if version else "damaged"


def _state_of_error(error: sqlite3.Error, path: Path) -> State:
    """Tell damage from a file that cannot be opened or read for now."""
    name = getattr(error, "sqlite_errorname", "")
    missing = name == "SQLITE_ERROR"  # no such table
    if missing or name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return "damaged"
    raise DatabaseError(f"{path}: {error}") from None


def _versions() -> tuple[set[str], str]:
    """Return every version of MLflow's tables that the installed one knows, and the last."""
    script = utils.ScriptDirectory.from_config(utils._get_alembic_config(db_url=""))
    return {one.revision for one in script.walk_revisions()}, script.get_heads()[0]


def _wanted() -> set[str]:
    return set(utils.Base.metadata.tables)


def _opened(path: Path) -> sqlite3.Connection:
    """Open a database that is there; what a killed writer left half done is taken back by this."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=BUSY)


def _tables(there: sqlite3.Connection) -> set[str]:
    return {name for (name,) in there.execute("select name from sqlite_master where type='table'")}


def _is_unused(path: Path) -> bool:
    """Tell whether a database holds nothing but what MLflow writes into a new one."""
    if path.stat().st_size == 0:
        return True
    try:
        with closing(_opened(path)) as there:
            tables = _tables(there) - {"sqlite_sequence"}
            if not all(n in _wanted() | VERSION or n.startswith("_alembic_tmp_") for n in tables):
                return False
            rest = [f'select 1 from "{name}" {BORN.get(name, "")}' for name in tables - VERSION]
            return not any(there.execute(question).fetchone() for question in rest)
    except sqlite3.Error:
        return False


def _set_aside(path: Path) -> Path | None:
    """Move a database and what SQLite keeps beside it away; None where there is nothing to keep."""
    names = (path.with_name(f"{path.name}.aside-{number}") for number in count(1))
    target = next(name for name in names if not name.exists())
    kept = path.exists() and path.stat().st_size > 0
    for end in ("", *BESIDE):
        here = path.with_name(path.name + end)
        if here.exists() and kept:
            here.replace(target.with_name(target.name + end))
        elif here.exists():
            here.unlink()
    return target if kept else None


def _make(path: Path, *, source: Path | None = None) -> bool:
    """Make a database beside its place and move it there; False where `source` cannot be renewed.

    Args:
        path: where it belongs; the lock is held, so what stands beside it is a dead process's.
        source: a database of an older MLflow, of which it shall hold everything.
    """
    draft = path.with_name(f".{path.name}.new")
    _remove(draft)
    try:
        if source is not None:
            with closing(_opened(source)) as old, closing(sqlite3.connect(draft)) as new:
                old.backup(new)
        engine = utils.create_sqlalchemy_engine(address_of(draft))
        utils.sqlalchemy.event.listen(engine, "connect", _hurry)
        try:
            utils._initialize_tables(engine)
        finally:
            engine.dispose()
        if _state(draft) != "whole":
            raise DatabaseError(f"MLflow did not create a complete database at {draft}")
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise DatabaseError(f"{path}: {error.strerror or error}") from None
    except utils.sqlalchemy.exc.SQLAlchemyError as error:
        name = getattr(getattr(error, "orig", None), "sqlite_errorname", "")
        if source is None or name.startswith(FOR_NOW):
            raise DatabaseError(f"{path}: {getattr(error, 'orig', None) or error}") from None
        return False
    finally:
        _remove(draft)
    return True


def _hurry(connection: Any, record: object) -> None:
    """Let SQLite wait for no disk: a draft that is cut short is thrown away."""
    connection.execute("pragma synchronous = off")
    connection.execute("pragma journal_mode = memory")


def _remove(path: Path) -> None:
    for end in ("", *BESIDE):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _require_writable(path: Path) -> None:
    """Raise for a file or folder in which SQLite may not write; it needs both."""
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.W_OK):
            raise DatabaseError(f"{place} may not be written by this user")
