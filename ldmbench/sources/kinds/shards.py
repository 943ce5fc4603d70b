"""Data sets that are files of many images: which files, of which split; classes and captions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ldmbench.canonical import Stamp
from ldmbench.errors import InputError
from ldmbench.sources.images.disk import Found, Place, some
from ldmbench.sources.images.layout import split_of
from ldmbench.sources.images.members import walk
from ldmbench.sources.images.remarks import first_class, latents_among
from ldmbench.sources.images.rows import class_in
from ldmbench.sources.images.source import ImageFile

__all__ = ["Rows", "Shard", "library", "lost_shards", "shards_at", "split_in"]

_WORDS = re.compile(r"[-_.]+")
_OF = re.compile(r"(.*?)(\d{5})-of-(\d{5})(.*)")
_SERIES = re.compile(r"(.*?)(0\d{3,}|\d{5,})(\.\w+)")
_MOST_LOST = 100_000
"""Shards that a series lacks at most; of more, the numbers count something else."""
_LEFT = ("__MACOSX",)
"""Folders that tools add."""


@contextmanager
def library(name: str, what: str) -> Iterator[None]:
    """Refuse what needs a library that is not installed, with the command that installs it.

    Args:
        name: of the library.
        what: needs it.
    """
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"{what} needs the library {name}, which is not installed ({error}); install it with"
            " pip install 'ldmbench[data]'"
        ) from None


@dataclass(frozen=True)
class Shard:
    """One file of many images.

    Attributes:
        name: relative to the data set.
        file: where it lies.
        split: as `ImageFile.split`.
    """

    name: str
    file: Path
    split: str


def shards_at(path: Path, suffixes: Sequence[str], what: str) -> tuple[list[Shard], list[Path]]:
    """Return the files of a kind at a path, by name, and the folders that were looked at.

    Args:
        path: a file, or a folder with files at any depth; links to folders are followed, hidden
            files and folders left out.
        suffixes: of the files' names.
        what: what errors call them.

    Raises:
        InputError: there is none.
    """
    if path.is_file():
        return [Shard(path.name, path, split_in(path.name))], []
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder; allowed: {what}")
    stamps: dict[Path, Stamp] = {}
    names = sorted(walk(path, stamps, hidden=False))
    shown = [n for n in names if not any(p in _LEFT or p.startswith(".") for p in n.split("/"))]
    found = [n for n in shown if n.lower().endswith(tuple(suffixes)) and (path / n).is_file()]
    packed = [n for n in shown if n.lower().endswith(_packed(suffixes))]
    if packed:
        raise InputError(
            f"{path}: {packed[0]} is compressed and is not read; unpack it (gunzip), or move it out"
        )
    if not found:
        why = latents_among(names) or f"allowed: {what}"
        raise InputError(f"{path}: no {' or '.join(suffixes)} file in it; {why}")
    return [Shard(n, path / n, split_in(n)) for n in found], [*stamps]


def _packed(suffixes: Sequence[str]) -> tuple[str, ...]:
    more = (".tgz",) if ".tar" in suffixes else ()
    return (*more, *(f"{s}{z}" for s in suffixes for z in (".gz", ".bz2", ".xz", ".zst")))


def split_in(name: str) -> str:
    """Return the split that the name of a shard says: a folder of it, or a word of its own.

    >>> split_in("validation-00000-of-00001.parquet"), split_in("default/train/0000.parquet")
    ('validation', 'train')
    """
    *folders, last = name.split("/")
    words = [*folders, *_WORDS.split(last)[:-1]]
    return next((found for word in words if (found := split_of(word))), "")


def lost_shards(names: Sequence[str]) -> Iterator[str]:
    """Say which shards of a numbered series are not there.

    >>> list(lost_shards(["train-00000-of-00002.parquet"]))
    ['1 of 2 shards are not here, such as train-00001-of-00002.parquet: a part']
    >>> list(lost_shards(["00000.tar", "00002.tar"]))
    ['1 of 3 shards are not here, such as 00001.tar: a part']
    """
    series: dict[tuple[str, str, int, int], set[int]] = {}
    for name in names:
        if found := _OF.fullmatch(name):
            key = (found[1], f"-of-{found[3]}{found[4]}", 5, int(found[3]))
            series.setdefault(key, set()).add(int(found[2]))
        elif found := _SERIES.fullmatch(name):
            series.setdefault((found[1], found[3], len(found[2]), 0), set()).add(int(found[2]))
    for (before, after, width, whole), there in series.items():
        wanted = range(whole) if whole else range(min(there), max(there) + 1)
        count = len(wanted) - len(there)
        if 0 < count <= _MOST_LOST:
            first = next(number for number in wanted if number not in there)
            yield (
                f"{count:,} of {len(wanted):,} shards are not here, such as"
                f" {before}{first:0{width}d}{after}: a part"
            )


@dataclass
class Rows:
    """Images as they are found in shards: names, captions and classes, numbered at the end.

    Attributes:
        path: of the data set.
        shards: in which they are found, where their names number them.
        column: that says classes, if there is one.
    """

    path: Path
    files: list[ImageFile] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    labels: list[int | str | None] = field(default_factory=list)
    several: int = 0
    shards: Sequence[Shard] = ()
    column: str | None = None

    def add(
        self, name: str, place: Place, split: str, *, label: object = None, caption: object = None
    ) -> None:
        """Add an image.

        Args:
            name: in the data set.
            place: where it lies.
            split: as `ImageFile.split`.
            label: its class, a number or a name; None: it has none.
            caption: a text or a list of texts, of which the first is used; None: it has none.

        Raises:
            InputError: another image has the name, or class or caption are something else.
        """
        where = f"{self.path}/{name}"
        if name in self.places:
            raise InputError(f"{where}: two images have this name; rename one of them")
        text = self._caption(caption, where)
        self.files.append(ImageFile(name, self.path, caption=text, split=split, at=name))
        self.labels.append(_label(label, where))
        self.places[name] = place

    def found(
        self, read: Sequence[Path], watched: Sequence[Path], remarks: Sequence[str] = ()
    ) -> Found:
        """Return all images by name, with their classes as numbers.

        Names of classes are sorted as text, as Hugging Face's ImageFolder has it; a number stays.
        """
        said = [*remarks, *lost_shards([shard.name for shard in self.shards])]
        row = _numbers(self.labels, self.path)
        labelled = any(label is not None for label in self.labels)
        files = []
        for file, label in zip(self.files, self.labels, strict=True):
            number = row.get(label, -1 if labelled else 0)
            files.append(
                ImageFile(file.name, file.source, number, file.caption, None, file.split, file.at)
            )
        lost = [file.name for file in files if file.label < 0]
        if self.column and not labelled:
            said.append(f"the column {self.column} says no class of any image")
        said += first_class([file.label for file in files])
        if lost:
            said.append(f"{len(lost):,} images have no class, such as {lost[0]}")
        if self.several:
            said.append(f"{self.several:,} images have several captions: the first of each is used")
        held = sum(file.split == "test" for file in files)
        if held:
            said.append(f"{held:,} images of test are held out and in no split")
        files.sort(key=lambda file: file.name)
        return Found(tuple(files), tuple(read), tuple(watched), tuple(said), self.places)

    def _caption(self, found: object, where: str) -> str | None:
        if isinstance(found, list):
            self.several += len(found) > 1
            found = found[0] if found else None
        if found is None:
            return None
        if not isinstance(found, str):
            raise InputError(f"{where}: its caption is {str(found)[:60]}; a text or texts are read")
        return " ".join(found.split())


def _label(found: object, where: str) -> int | str | None:
    value = class_in(found)
    if value is None or (isinstance(value, int | str) and not isinstance(value, bool)):
        return value
    raise InputError(
        f"{where}: its class is {json.dumps(found, default=str)[:60]}; a number or a name is read"
    )


def _numbers(labels: Sequence[int | str | None], path: Path) -> Mapping[int | str | None, int]:
    """Return class -> its number; -1 for what is below 0, as Hugging Face writes test images."""
    values = {label for label in labels if label is not None}
    names = sorted(value for value in values if isinstance(value, str))
    numbers = [value for value in values if isinstance(value, int)]
    if names and numbers:
        raise InputError(
            f"{path}: classes are names ({some(names)}) and numbers ({numbers[0]}); write all of"
            " them in one way"
        )
    if names:
        return {name: i for i, name in enumerate(names)}
    return {number: max(number, -1) for number in numbers}
