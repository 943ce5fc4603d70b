"""The dataset kind `imagenet_small`: downsampled ImageNet (arXiv:1707.08819) in its batches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sources.images.disk import Found, Payload, Place
from ldmbench.sources.images.source import ImageFile, Pixels
from ldmbench.sources.kinds.batches import read_batch
from ldmbench.sources.kinds.tree import NamedImages, tree_at

__all__ = ["SmallImageNet", "open_small_imagenet"]

_BATCH = re.compile(r"(train_data_batch_(?:[1-9]|10)|val_data)(?:\.npz)?")
_ALL = (*(f"train_data_batch_{number}" for number in range(1, 11)), "val_data")
_SIDES = (8, 16, 32, 64)
_CLASSES = 1000
_ORDER = (
    "classes are numbered as in the batches (map_clsloc.txt), which is not the order of WordNet"
    " ids: they are no classes of a model that was trained on kind: imagenet"
)


def open_small_imagenet(path: Path, options: Mapping[str, Any]) -> SmallImageNet:
    """Return downsampled ImageNet."""
    return SmallImageNet(path, "imagenet_small", options.get("limit"))


@dataclass(frozen=True)
class SmallImageNet(NamedImages):
    """train_data_batch_1 to 10 and val_data, pickles or npz of planes; class = label - 1."""

    def look(self) -> Found:
        """Look at the labels of all batches."""
        tree = tree_at(self.path)
        there = {n: n.rpartition("/")[2] for n in tree.names}
        names = {at: last for at, last in there.items() if _BATCH.fullmatch(last)}
        plain = [last.removesuffix(".npz") for last in names.values()]
        if not names:
            raise InputError(
                f"{self.path}: no batch in it; allowed: a folder with train_data_batch_1 to 10 and"
                " val_data, as pickles or .npz"
            )
        if len({*plain}) < len(plain):
            raise InputError(f"{self.path}: batches lie there twice; name one folder of them")
        lost = [name for name in _ALL if name not in plain]
        files, places, sides = list[ImageFile](), dict[str, Place](), dict[int, Path]()
        for at, last in sorted(names.items(), key=lambda pair: _ALL.index(_plain(pair[1]))):
            file = self.path / at
            pixels, labels = _read(file)
            sides.setdefault(pixels.shape[1], file)
            split = "validation" if last.startswith("val") else "train"
            for row, label in enumerate(labels):
                image = f"{split}/{_plain(last)}/{row:06d}"
                places[image] = (file, row, 0)
                files.append(ImageFile(image, self.path, label, None, None, split, image))
        if len(sides) > 1:
            first, second = list(sides.items())[:2]
            raise InputError(
                f"{first[1]} has images of {first[0]} pixels, {second[1]} of {second[0]}; name a"
                " folder of one size"
            )
        remarks = (_ORDER, *([f"{', '.join(lost)} not here"] if lost else []))
        read = tuple(self.path / name for name in names)
        return Found(tuple(files), read, tree.folders, remarks, places)

    def payloads(self, files: Sequence[ImageFile]) -> Iterator[Payload]:
        """Yield the pixels of rows; one batch is in memory at a time."""
        places = self.found().places
        held: tuple[Path, Pixels] | None = None
        for file in files:
            batch, row, _ = places[file.name]
            if held is None or held[0] != batch:
                held = None  # freed before the next is read
                held = (batch, _read(batch)[0])
            yield held[1][row]


def _plain(name: str) -> str:
    return name.removesuffix(".npz")


def _read(file: Path) -> tuple[Pixels, list[int]]:
    pixels, labels = read_batch(file, _SIDES, what="downsampled ImageNet")
    if labels and not 1 <= min(labels) <= max(labels) <= _CLASSES:
        raise InputError(f"{file}: a label is outside of 1 to {_CLASSES:,}; fetch it again")
    return pixels, [label - 1 for label in labels]
