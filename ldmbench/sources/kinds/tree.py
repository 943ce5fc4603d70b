"""Data sets that are folders of one file an image, and what those with a name share."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ldmbench.canonical import Stamp, digest
from ldmbench.catalog.datasets import DATASETS
from ldmbench.errors import InputError
from ldmbench.sources.images.disk import DiskImages, Found, Payload, some
from ldmbench.sources.images.members import SUFFIXES, contents, walk
from ldmbench.sources.images.rows import lines_of, text_of
from ldmbench.sources.images.source import ImageFile

__all__ = ["NamedImages", "Tree", "first_folder", "lines_in", "refuse_missing", "tree_at"]


@dataclass(frozen=True)
class Tree:
    """Files below a folder.

    Attributes:
        names: of files, relative to it, by name.
        folders: it and all below it.
    """

    names: tuple[str, ...]
    folders: tuple[Path, ...]

    def with_suffix(self, *suffixes: str) -> list[str]:
        """Return the names of files with a suffix, in any case."""
        return [name for name in self.names if name.lower().endswith(suffixes)]

    @property
    def pictures(self) -> list[str]:
        """The names of files that are images by their suffix."""
        return self.with_suffix(*SUFFIXES)


def tree_at(path: Path) -> Tree:
    """Return the files below a folder; links are followed, hidden files and folders left out.

    Raises:
        InputError: there is no such folder, or a link leads to a folder that holds it.
    """
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; check data.path")
    stamps: dict[Path, Stamp] = {}
    names = [
        name
        for name in walk(path, stamps, hidden=False)
        if not name.rpartition("/")[2].startswith(".") and "__MACOSX" not in name.split("/")
    ]
    return Tree(tuple(sorted(names)), tuple(stamps))


@dataclass(frozen=True)
class NamedImages(DiskImages):
    """A data set with a row in `catalog.datasets`; a kind adds `look`.

    Attributes:
        path: where it lies.
        kind: its row.
        limit: images of its own validation split that are used; None: all.
    """

    kind: str
    limit: int | None

    @abstractmethod
    def look(self) -> Found:
        """Look at what lies there, as `find`; images in any order, counts not compared."""

    @property
    def full(self) -> Mapping[str, int]:
        """How many images each split of the whole data set has."""
        return DATASETS[self.kind].counts

    def find(self) -> Found:
        """Return all images by name, with what is to be said of their number."""
        found = self.look()
        files = sorted(found.files, key=lambda file: file.name)
        remarks = [*found.remarks, *self._counted(files)]
        unused = found.unused
        if unused:
            remarks.append(f"{len(unused):,} pictures are not used, such as {unused[0]}")
        return replace(found, files=tuple(self._limited(files)), remarks=tuple(remarks))

    def payloads(self, files: Sequence[ImageFile]) -> Iterator[Payload]:
        """Yield the bytes of each image's file."""
        for file in files:
            try:
                ((_, data),) = contents([(self.path, file.at)])
            except InputError as error:
                yield error
            else:
                yield data

    def _counted(self, files: Sequence[ImageFile]) -> Iterator[str]:
        """Say where there are fewer or more images than the data set has."""
        there = Counter(file.split for file in files)
        if not any(there[split] for split in self.full):
            total = sum(self.full.values())
            if self.full and len(files) < total:
                yield f"{len(files):,} of the {total:,} images of {self.kind} are here: a part"
            return
        for split, most in self.full.items():
            count = there[split]
            if count < most and (count or split != "test"):
                yield f"{count:,} of the {most:,} {split} images of {self.kind} are here: a part"
            elif count > most:
                yield f"{count:,} {split} images are here, and {self.kind} has {most:,}"
        held = there["test"]
        if held:
            yield f"{held:,} test images are held out and in no split"

    def _limited(self, files: Sequence[ImageFile]) -> list[ImageFile]:
        """Leave out validation images beyond the limit, in the order of digests of names."""
        if self.limit is None:
            return list(files)
        held = [file.name for file in files if file.split == "validation"]
        kept = set(sorted(held, key=digest)[: self.limit])
        return [file for file in files if file.split != "validation" or file.name in kept]


def first_folder(path: Path, names: Sequence[str]) -> Path | None:
    """Return the first of some folders that is there, or None."""
    return next((path / name for name in names if (path / name).is_dir()), None)


def lines_in(file: Path) -> list[str]:
    """Return the lines of a list that are not blank, without white space around them.

    Raises:
        InputError: it is not there, or not UTF-8.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); put it there") from None
    return [line.strip() for _, line in lines_of(text_of(data, str(file)))]


def refuse_missing(path: Path, what: str, wanted: Sequence[str], there: Sequence[str]) -> list[str]:
    """Return a remark on names of a list that are not there; refuse a list of which none is.

    Args:
        path: of the data set.
        what: the list.
        wanted: names in it.
        there: those of them that were found.
    """
    lost = sorted({*wanted} - {*there})
    if wanted and not there:
        raise InputError(
            f"{path}: none of the {len(wanted):,} images of {what} is here, such as {some(lost)}"
        )
    return [f"{len(lost):,} images of {what} are not here, such as {some(lost)}"] if lost else []
