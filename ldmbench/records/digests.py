"""Digests of what a run keeps: its records line by line, extras, plan and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ldmbench.canonical import digest_bytes, digest_file

__all__ = ["FILE", "digests_of", "is_changed", "is_known", "known_of", "pictures_of"]

FILE = "digests.json"
LINES = "lines of records"


def known_of(folder: Path) -> Mapping[str, object]:
    """Return file -> digest, and what is known of lines; nothing where it was not written.

    A folder that is a copy under another name is somebody's own: nothing is known of it.
    """
    try:
        found = json.loads((folder / FILE).read_bytes())
        if found["run"] == folder.name:
            return {**found["files"], LINES: list(found["lines"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return {}


def digests_of(folder: Path, names: Sequence[str], *, lines: str) -> str:
    """Return the text of the file: digests of these as they are, of others as they were known.

    Args:
        folder: of the run.
        names: of its files.
        lines: which of its files is digested line by line as well.
    """
    known = dict(known_of(folder))
    marks = known.pop(LINES, [])
    if lines in names:
        text = (folder / lines).read_text("utf-8")
        marks = [_mark(line) for line in text.split("\n") if line]
    found = {name: digest_file(folder / name) for name in names if (folder / name).is_file()}
    return json.dumps({"run": folder.name, "files": known | found, "lines": marks}, indent=1)


def pictures_of(folder: Path) -> list[str]:
    """Return the pictures of a run, by their names in its folder."""
    return [p.relative_to(folder).as_posix() for p in sorted(folder.glob("pictures/*.png"))]


def is_changed(folder: Path, name: str, known: Mapping[str, object]) -> bool:
    """Tell whether a file is gone or other than it was written."""
    file = folder / name
    return name in known and (not file.is_file() or digest_file(file) != known[name])


def is_known(line: str, known: Mapping[str, Any]) -> bool:
    """Tell whether a line is as it was written, or nothing is known of lines."""
    return LINES not in known or _mark(line) in known[LINES]


def _mark(line: str) -> str:
    return digest_bytes(line.encode())[:16]
