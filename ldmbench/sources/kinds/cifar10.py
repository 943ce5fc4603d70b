"""The dataset kind `cifar10`: the batches of its authors, or PNG files named by class."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmbench.catalog.datasets import CIFAR10_MD5
from ldmbench.errors import InputError
from ldmbench.sources.images.disk import Found, Payload, Place
from ldmbench.sources.images.layout import split_of
from ldmbench.sources.images.source import ImageFile, Pixels
from ldmbench.sources.kinds.batches import read_batch
from ldmbench.sources.kinds.tree import NamedImages, Tree, tree_at

__all__ = ["Cifar10", "open_cifar10"]

_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_ALIASES = {"plane": "airplane", "car": "automobile"}
_BATCH = re.compile(r"(data_batch_[1-5]|test_batch)")
_WORDS = re.compile("[-_. ]+")
_SIDE = 32


def open_cifar10(path: Path, options: Mapping[str, Any]) -> Cifar10:
    """Return CIFAR-10."""
    return Cifar10(path, "cifar10", options.get("limit"))


@dataclass(frozen=True)
class Cifar10(NamedImages):
    """cifar-10-batches-py, or images plane_00000.png as improved-diffusion writes them.

    The classes are CIFAR's own numbers (airplane 0 to truck 9), whatever the names sort as.
    """

    def look(self) -> Found:
        """Look at the batches, or at names."""
        tree = tree_at(self.path)
        batches = [n for n in tree.names if _BATCH.fullmatch(n.rpartition("/")[2])]
        return self._batches(tree, batches) if batches else self._pictures(tree)

    def payloads(self, files: Sequence[ImageFile]) -> Iterator[Payload]:
        """Yield the pixels of rows, the bytes of pictures."""
        places = self.found().places
        if not places:
            yield from super().payloads(files)
            return
        held: dict[Path, Pixels] = {}
        for file in files:
            batch, row, _ = places[file.name]
            if batch not in held:
                held[batch] = _read(batch)[0]
            yield held[batch][row]

    def _batches(self, tree: Tree, names: Sequence[str]) -> Found:
        files, places, remarks = list[ImageFile](), dict[str, Place](), list[str]()
        lost = sorted({*CIFAR10_MD5} - {name.rpartition("/")[2] for name in names})
        if len(lost) + len(names) != len(CIFAR10_MD5):
            raise InputError(f"{self.path}: batches lie there twice; name one folder of them")
        if lost:
            remarks.append(f"{', '.join(lost)} not here")
        for name in names:
            file, last = self.path / name, name.rpartition("/")[2]
            if hashlib.md5(file.read_bytes()).hexdigest() != CIFAR10_MD5[last]:
                remarks.append(f"{last} is not the file of CIFAR-10's authors (its md5 differs)")
            split = "validation" if last == "test_batch" else "train"
            for row, label in enumerate(_read(file)[1]):
                image = f"{split}/{last}/{row:05d}"
                places[image] = (file, row, 0)
                files.append(ImageFile(image, self.path, label, None, None, split, image))
        read = tuple(self.path / name for name in names)
        more = tree.pictures
        return Found(tuple(files), read, tree.folders, tuple(remarks), places, pictures=more)

    def _pictures(self, tree: Tree) -> Found:
        files, strange = list[ImageFile](), list[str]()
        for at in tree.pictures:
            *folders, last = at.split("/")
            words = [last.partition("_")[0], *reversed(folders)]
            known = [_ALIASES.get(word.lower(), word.lower()) for word in words]
            labels = [_CLASSES.index(word) for word in known if word in _CLASSES]
            label = labels[0] if len({*labels}) == 1 else None
            if label is None:
                strange.append(at)
                continue
            parts = [word for folder in folders for word in (folder, *_WORDS.split(folder))]
            held = any(split_of(word) in ("validation", "test") for word in parts)
            split = "validation" if held else "train"
            files.append(ImageFile(at, self.path, label, None, None, split, at))
        if strange or not files:
            why = "no image in it"
            if strange:
                why = f"{strange[0]} is of no class, or its folder and name say two"
            raise InputError(
                f"{self.path}: {why};"
                " allowed: the folder cifar-10-batches-py, or images whose folder or name says one"
                f" of {', '.join(_CLASSES)} (plane_00000.png)"
            )
        return Found(tuple(files), (), tree.folders, pictures=tree.pictures)


def _read(file: Path) -> tuple[Pixels, list[int]]:
    """Return uint8 (N, 32, 32, 3) and the classes of a batch."""
    rows, labels = read_batch(file, [_SIDE], what="CIFAR-10")
    if labels and not 0 <= min(labels) <= max(labels) < len(_CLASSES):
        raise InputError(f"{file}: a label is outside of 0 to 9; fetch it again")
    return rows, labels
