"""Canonical JSON, digests and stamps of files; nothing else in the project hashes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[int, ...]
"""What tells a file from any other that lay or will lie at its path; see `stamp_of`."""


def canonical_json(value: object) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, shortest float form.

    Raises:
        TypeError: if a part cannot be written as JSON; a digest is never a guess.
        ValueError: if a float is NaN or infinite.

    Examples:
        >>> canonical_json({"b": 1.0, "a": [True, None]})
        '{"a":[true,null],"b":1.0}'
    """
    _refuse_surprises(value)
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _refuse_surprises(value: object) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise TypeError(f"JSON keys must be text, found {key!r}")
            _refuse_surprises(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _refuse_surprises(part)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value!r} has no canonical JSON form")
    elif not isinstance(value, str | int | bool | None):
        raise TypeError(f"{type(value).__name__} has no canonical JSON form")


def finite_json(text: str) -> object:
    """Return what a JSON text holds.

    Raises:
        json.JSONDecodeError: if it is none, or one of its numbers is NaN or infinite: every
            comparison with such a number fails, and what is compared seems equal.
    """

    def number(found: str) -> float:
        value = float(found)
        if not math.isfinite(value):
            raise json.JSONDecodeError(f"{found} is no finite number", found, 0)
        return value

    return json.loads(text, parse_constant=number, parse_float=number)


def digest(value: object) -> str:
    """Return the sha256 (64 hex digits) of the canonical JSON of `value`.

    Examples:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    return digest_bytes(canonical_json(value).encode())


def digest_bytes(data: bytes | memoryview) -> str:
    """Return the sha256 (64 hex digits) of `data`."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """Return the sha256 (64 hex digits) of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_files(paths: Iterable[Path], *, root: Path) -> str:
    """Return one digest of many files: their names relative to `root` and their contents."""
    return digest({p.relative_to(root).as_posix(): digest_file(p) for p in sorted(paths)})


def stamp_of(at: os.stat_result) -> Stamp:
    """Return the stamp of a file: device, inode, size, and both times in nanoseconds.

    Contents can be changed under an equal size and modification time, but not without moving the
    time of the inode's change.
    """
    return at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns


def is_settled(stamp: Stamp, ns: int) -> bool:
    """Tell a file that has lain unchanged for `ns`; others could change again unseen."""
    return time.time_ns() - max(stamp[-2:]) > ns
