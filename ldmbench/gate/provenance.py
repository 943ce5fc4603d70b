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


def commit_of(folder: Path) -> Commit:
    """Return the commit that is checked out in a folder."""
    head = _git(folder, "rev-parse", "HEAD")
    if not head:
        return Commit()
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return Commit(head, bool(changed))


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
