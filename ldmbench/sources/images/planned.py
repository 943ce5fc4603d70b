"""A source of images as a run was planned with it: what has changed since is refused, not read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ldmbench.canonical import Stamp
from ldmbench.errors import InputError
from ldmbench.sources.images.source import ImageFile, RegionFacts, Source

__all__ = ["Planned", "planned_images"]


@dataclass(frozen=True)
class Planned:
    """The images of a source, and in what state its files were when their digest was right.

    Attributes:
        source: where they lie.
        files: all images, by name.
        states: of all of them, as `Source.states` has it.
        classes: of all images, and of their boxes or maps.
        shown: what is known of boxes or maps, where there are any.
    """

    source: Source
    files: tuple[ImageFile, ...]
    states: Mapping[str, Stamp | None]
    classes: int = 1
    shown: RegionFacts | None = None

    def check(self, files: Sequence[ImageFile]) -> None:
        """Refuse images whose files are no longer what they were; few are looked at, none read.

        Raises:
            InputError: one has changed or is gone.
        """
        now = self.source.states(files)
        if any(self.states[name] != state for name, state in now.items()):
            raise InputError(_changed(self.source))


def planned_images(source: Source, digest: str, cache: Path | None = None) -> Planned:
    """Return the images of a source, if it has the digest that it was planned with.

    A process lists a source and compares its digest once; what it reads of it later it hands to
    `check`, so that files which come, go or change meanwhile shift nothing.

    Args:
        source: images on disk.
        digest: that it was planned with.
        cache: as in `Source.digest`.

    Raises:
        InputError: it has changed, or cannot be listed.
    """
    found = _looked_at(source, digest, cache)
    if found is None:
        raise InputError(_changed(source))
    return found


@lru_cache(maxsize=2)
def _looked_at(source: Source, digest: str, cache: Path | None) -> Planned | None:
    listing = source.listing()
    files, classes = listing.files, listing.facts.classes or 1
    states = source.states(files)  # before contents are read
    if source.digest(cache) != digest:
        return None
    return Planned(source, files, states, classes, listing.regions)


def _changed(source: Source) -> str:
    return f"{source.path} has changed since the run was planned; run again"
