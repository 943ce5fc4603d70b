"""The kinds of datasets whose images lie on disk, and what opens each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldmbench.sources.images.source import Opener, Source
from ldmbench.sources.kinds.folder import open_folder

__all__ = ["OPENERS", "open_source"]

OPENERS: Mapping[str, Opener] = {
    "folder": open_folder,
}
"""The `kind` of a noun of schema/data.py that is a FilesData -> what opens its files."""


def open_source(kind: str, path: Path, options: Mapping[str, Any]) -> Source:
    """Return the images on disk of a dataset; nothing is read yet.

    Args:
        kind: a row of OPENERS.
        path: where they lie.
        options: the fields of its noun.
    """
    return OPENERS[kind](path, options)
