"""Where an accepted number comes from: the commit of the folder one stands in."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Commit", "commit_of"]


@dataclass(frozen=True)
class Commit:
    """A commit's digest, None outside of git, and whether files differ from it."""

    digest: str | None = None
    dirty: bool = False


def commit_of(folder: Path, *, besides: Path) -> Commit:
    """Return the commit that is checked out in a folder.

    Args:
        folder: in a checkout, or in none.
        besides: the baseline that is being written: that it differs makes nothing dirty.
    """
    found = _git(folder, "rev-parse", "HEAD", "--show-toplevel")
    if not found:
        return Commit()
    head, top = found.rstrip("\n").split("\n", maxsplit=1)
    status = _git(folder, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=no")
    changed = {Path(top, entry[3:]) for entry in (status or "").split("\0") if entry}
    return Commit(head, bool(changed - {besides.parent.resolve() / besides.name}))


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", *arguments],  # a program that a checkout names
            cwd=folder,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
