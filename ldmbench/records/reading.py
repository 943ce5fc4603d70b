"""Files of a run, read: a text, one noun, lines of records; migrated, or refused as damaged."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ldmbench.canonical import finite_json
from ldmbench.errors import InputError
from ldmbench.records.digests import is_known
from ldmbench.schema.record import Record
from ldmbench.store.faults import MISPLACED
from ldmbench.words import first_line

__all__ = ["NewerError", "read_noun", "read_records", "read_text", "whole_records"]

API_VERSION = 1
MIGRATIONS: Mapping[int, Callable[[dict[str, object]], dict[str, object]]] = {}
"""From version N to N + 1; there is only one version so far."""

N = TypeVar("N", bound=BaseModel)


class NewerError(InputError):
    """A newer version wrote it: it is no damage."""


def read_records(path: Path) -> list[Record]:
    """Read a record file; of several records for one cell the last counts.

    Raises:
        InputError: naming the line that is damaged or too new.
    """
    if not os.path.lexists(path):
        return []
    found: dict[str, Record] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):  # names may hold U+2028
        if line.strip():
            record = read_noun(Record, line, f"{path}:{number}")
            found[record.cell.id] = record
    return list(found.values())


def whole_records(path: Path, known: Mapping[str, Any]) -> dict[str, Record]:
    """Return cell -> record of the lines that can be read and are as they were written."""
    found: dict[str, Record] = {}
    try:
        lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    except OSError:
        return found
    for line in lines:
        if not line.strip() or not is_known(line, known):
            continue
        with contextlib.suppress(InputError):
            record = read_noun(Record, line, path)
            found[record.cell.id] = record
    return found


def read_text(path: Path) -> str:
    """Return a text of a store.

    Raises:
        InputError: it is no file, or no UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is damaged: not UTF-8 text ({error.reason})") from None
    except OSError as error:
        if error.errno in MISPLACED:
            raise InputError(f"{path}: is no file ({error.strerror})") from None
        raise


def read_noun(noun: type[N], text: str, place: object) -> N:
    """Return the noun that a JSON text of this or an older version holds.

    Raises:
        InputError: it is damaged, or of a newer version; `place` says where.
    """
    try:
        return noun.model_validate(_migrated(finite_json(text), place))
    except (json.JSONDecodeError, ValidationError, RecursionError) as error:
        first = first_line(error)
        raise InputError(f"{place}: is damaged or no {noun.__name__.lower()}: {first}") from None


def _migrated(data: Any, place: object) -> Any:
    version = data.get("api_version", API_VERSION) if isinstance(data, dict) else API_VERSION
    if not isinstance(version, int) or version < 1:
        raise InputError(f"{place}: api_version is {version!r}; it is a number from 1")
    if version > API_VERSION:
        raise NewerError(
            f"{place}: api_version {version} is newer than this ldmbench understands"
            f" ({API_VERSION}); upgrade ldmbench"
        )
    while version < API_VERSION:
        data, version = MIGRATIONS[version](data), version + 1
    return data
