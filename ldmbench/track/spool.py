"""The spool: which run folders a mirror has not taken yet, noted by one small file in each."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ldmbench.canonical import digest, digest_file
from ldmbench.schema.record import Run

__all__ = ["content_of", "experiment_of", "forget", "is_mirrored", "is_pending", "mark", "pending"]

MARK = "mirrored.json"
VOLATILE = {"pid", "executed", "reused", "state", "finished", "notes"}
"""Fields of a run that a rerun which executes nothing may change."""


def is_mirrored(folder: Path, target: str) -> bool:
    """Tell whether this run, as it is now, was taken by this target."""
    found = _read(folder)
    return found.get("content") == content_of(folder) and found.get("target") == digest(target)


def mark(folder: Path, target: str, content: str, *, uri: str, experiment: str) -> None:
    """Note that the target has taken the run as `content_of` saw it; no target is written.

    Args:
        folder: of the run.
        target: what `is_mirrored` asks for.
        content: what was taken.
        uri: where to; kept as a digest, for `forget`.
        experiment: MLflow's number of the experiment.
    """
    value = {"api_version": 1, "content": content, "target": digest(target)}
    value |= {"uri": digest(uri), "experiment": experiment}
    draft = folder / f".{MARK}.{os.getpid()}"
    draft.write_text(json.dumps(value) + "\n", encoding="utf-8")
    draft.replace(folder / MARK)


def forget(runs_folder: Path, uri: str) -> None:
    """Let every run that this address took be sent again: what was there is lost."""
    for path in runs_folder.glob(f"*/{MARK}"):
        if _read(path.parent).get("uri", digest(uri)) == digest(uri):
            path.unlink(missing_ok=True)


def experiment_of(folder: Path, uri: str) -> str | None:
    """Return an address's number of the experiment that holds a run; None until it was taken."""
    found = _read(folder)
    return found.get("experiment") if found.get("uri") == digest(uri) else None


def is_pending(folder: Path) -> bool:
    """Tell whether no mirror has taken this run as it is now."""
    return bool(_read(folder).get("content") != content_of(folder))


def pending(runs_folder: Path) -> list[Path]:
    """Return the folders of ended runs that no mirror has taken as they are now, oldest first."""
    if not runs_folder.is_dir():
        return []
    ended = [path.parent for path in runs_folder.glob("*/run.json") if _has_ended(path)]
    left = [folder for folder in ended if is_pending(folder)]
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
