"""The spool: which run folders a mirror has not taken yet, told by one small file in each."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ldmbench.canonical import digest, digest_file
from ldmbench.schema.record import Run

__all__ = ["content_of", "is_mirrored", "mark", "pending"]

MARK = "mirrored.json"
VOLATILE = {"pid", "executed", "reused", "state", "finished", "notes"}
"""Fields of a run that a rerun which executes nothing may change."""


def is_mirrored(folder: Path, target: str) -> bool:
    """Tell whether this run, as it is now, was taken by this target."""
    found = _read(folder)
    return found.get("content") == content_of(folder) and found.get("target") == digest(target)


def mark(folder: Path, target: str, content: str) -> None:
    """Note that the target has taken the run as `content_of` saw it; no target is written."""
    value = {"api_version": 1, "content": content, "target": digest(target)}
    draft = folder / f".{MARK}.{os.getpid()}"
    draft.write_text(json.dumps(value) + "\n")
    draft.replace(folder / MARK)


def pending(runs_folder: Path) -> list[Path]:
    """Return the folders of ended runs that no mirror has taken as they are now, oldest first."""
    if not runs_folder.is_dir():
        return []
    ended = [path.parent for path in runs_folder.glob("*/run.json") if _has_ended(path)]
    left = [folder for folder in ended if _read(folder).get("content") != content_of(folder)]
    return sorted(left, key=lambda folder: (_run(folder / "run.json").started, folder.name))


def _has_ended(path: Path) -> bool:
    try:
        return _run(path).state != "running"
    except (OSError, ValueError):
        return False  # half a folder is another one's business


def _run(path: Path) -> Run:
    return Run.model_validate_json(path.read_text("utf-8"))


def _read(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / MARK).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("api_version") == 1 else {}


def content_of(folder: Path) -> str:
    """Return a digest of what the mirror shows: the run but for what varies, records, extras."""
    run = _run(folder / "run.json")
    files = [folder / "records.jsonl", folder / "extras.json"]
    parts = {f.name: digest_file(f) if f.is_file() else None for f in files}
    return digest({"run": run.model_dump(mode="json", exclude=VOLATILE), **parts})
