"""A source of images as a run was planned with it: what has changed since is refused, not read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ldmbench.canonical import Stamp, stamp_of
from ldmbench.errors import InputError
from ldmbench.sources.digests import source_digest
from ldmbench.sources.images.listing import ImageFile, list_images

__all__ = ["Planned", "planned_images"]


@dataclass(frozen=True)
class Planned:
    """The images of a source, and in what state its files were when their digest was right.

    Attributes:
        path: folder, zip or npz.
        files: all images, by name.
        states: file -> its stamp, None where it is gone; a zip or npz is one file, ''.
    """

    path: Path
    files: tuple[ImageFile, ...]
    states: Mapping[str, Stamp | None]

    def check(self, files: Iterable[ImageFile]) -> None:
        """Refuse images whose files are no longer what they were; few are looked at, none read.

        Raises:
            InputError: one has changed or is gone.
        """
        if any(self.states[name] != _state(self.path, name) for name in _names(self.path, files)):
            raise InputError(_changed(self.path))


def planned_images(
    path: Path, digest: str, cache: Path | None = None, *, labels: str = "folder"
) -> Planned:
    """Return the images of a source, if it has the digest that it was planned with.

    A process lists a source and compares its digest once; what it reads of it later it hands to
    `check`, so that files which come, go or change meanwhile shift nothing.

    Args:
        path: folder, zip or npz.
        digest: of `source_digest`.
        cache: as in `source_digest`.
        labels: as in `list_images`.

    Raises:
        InputError: it has changed; or as `list_images`.
    """
    found = _looked_at(path, digest, cache, labels)
    if found is None:
        raise InputError(_changed(path))
    return found


@lru_cache(maxsize=2)
def _looked_at(path: Path, digest: str, cache: Path | None, labels: str) -> Planned | None:
    files = list_images(path, labels)
    states = {name: _state(path, name) for name in _names(path, files)}  # before contents are read
    return Planned(path, files, states) if source_digest(path, cache) == digest else None


def _names(path: Path, files: Iterable[ImageFile]) -> set[str]:
    if not path.is_dir():
        return {""}
    return {name for file in files for name in (file.at, file.text) if name}


def _state(path: Path, name: str) -> Stamp | None:
    try:
        return stamp_of((path / name).stat())
    except OSError:
        return None


def _changed(path: Path) -> str:
    return f"{path} has changed since the run was planned; run again"
