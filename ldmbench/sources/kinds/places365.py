"""The dataset kind `places365`: Places365-Standard in the layouts of its tars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sources.images.disk import Found
from ldmbench.sources.images.source import ImageFile
from ldmbench.sources.kinds.tree import NamedImages, Tree, lines_in, tree_at

__all__ = ["Places365", "open_places365"]

_TOPS = {
    "train": ("data_large", "data_256", "train", "train_large", "train_256"),
    "validation": ("val_large", "val_256", "val", "validation", "valid"),
    "test": ("test_large", "test_256", "test"),
}
_CLASSES = 365
_CATEGORIES, _VAL = "categories_places365.txt", "places365_val.txt"


def open_places365(path: Path, options: Mapping[str, Any]) -> Places365:
    """Return Places365."""
    return Places365(path, "places365", options.get("limit"))


@dataclass(frozen=True)
class Places365(NamedImages):
    """data_large/a/airfield/*.jpg and val_large/Places365_val_*.jpg, or train/airfield/*.jpg.

    A class is a row of categories_places365.txt; without it the sorted names of folders. Classes of
    flat validation images are those of places365_val.txt.
    """

    def look(self) -> Found:
        """Look at names, and at the lists of classes."""
        tree = tree_at(self.path)
        lies = {name.rpartition("/")[2]: self.path / name for name in tree.with_suffix(".txt")}
        numbers, read = self._categories(tree, lies)
        truth = self._truth(lies, read)
        if truth and _CATEGORIES not in lies and len(numbers) != _CLASSES:
            raise InputError(
                f"{self.path}: {_VAL} numbers {_CLASSES} categories, {len(numbers):,} folders of"
                f" them are here, and {_CATEGORIES} is not, which says their numbers; put it there"
            )
        files, bare = list[ImageFile](), 0
        for at in tree.pictures:
            split, inside = _placed(at)
            label = numbers.get(_category(inside), -1) if "/" in inside else truth.get(inside, -1)
            bare += label < 0 and split != "test"
            name = f"{split or 'train'}/{inside}"
            files.append(ImageFile(name, self.path, label, None, None, split, at))
        remarks = []
        if numbers and _CATEGORIES not in lies and len(numbers) != _CLASSES:
            remarks.append(
                f"{_CATEGORIES} is not here: classes are the places of {len(numbers):,} folders in"
                f" their order, not the numbers of the {_CLASSES} categories"
            )
        if bare:
            remarks.append(
                f"{bare:,} images have no class; {_CATEGORIES} and {_VAL} say those of the standard"
                " layout"
            )
        names = [file.name for file in files]
        if len({*names}) < len(names):
            raise InputError(
                f"{self.path}: images of two sizes lie there; name the folder of one of them"
            )
        return Found(tuple(files), tuple(read), tree.folders, tuple(remarks))

    def _categories(
        self, tree: Tree, lies: Mapping[str, Path]
    ) -> tuple[dict[str, int], list[Path]]:
        """Return category -> class."""
        if _CATEGORIES in lies:
            rows = [line.split() for line in lines_in(lies[_CATEGORIES])]
            if not all(len(row) == 2 and row[1].isdecimal() for row in rows):
                raise InputError(
                    f"{lies[_CATEGORIES]}: each line is a category and its class: /a/airfield 0"
                )
            found = {_plain(row[0]): int(row[1]) for row in rows}
            wrong = [row for row in rows if int(row[1]) >= _CLASSES]
            if wrong or len({*found.values()}) < len(rows):
                raise InputError(
                    f"{lies[_CATEGORIES]}: {f'{wrong[0][0]} is' if wrong else 'two categories are'}"
                    f" class {wrong[0][1] if wrong else 'of one number'}; classes are 0 to"
                    f" {_CLASSES - 1}, each once"
                )
            return found, [lies[_CATEGORIES]]
        placed = [_placed(at) for at in tree.pictures]
        names = sorted({_category(inside) for _, inside in placed if "/" in inside})
        return {name: number for number, name in enumerate(names)}, []

    def _truth(self, lies: Mapping[str, Path], read: list[Path]) -> dict[str, int]:
        """Return validation image -> class."""
        if _VAL not in lies:
            return {}
        read.append(lies[_VAL])
        rows = [line.split() for line in lines_in(lies[_VAL])]
        if not all(len(row) == 2 and row[1].isdecimal() for row in rows):
            raise InputError(
                f"{lies[_VAL]}: each line is an image and its class: Places365_val_00000001.jpg 165"
            )
        wrong = [row for row in rows if int(row[1]) >= _CLASSES]
        if wrong:
            raise InputError(
                f"{lies[_VAL]}: {wrong[0][0]} is of class {wrong[0][1]}; classes are 0 to"
                f" {_CLASSES - 1}"
            )
        return {row[0]: int(row[1]) for row in rows}


def _placed(at: str) -> tuple[str, str]:
    """Return the split of an image and its name in it."""
    folders = at.split("/")
    for depth, folder in enumerate(folders[:-1]):
        split = next((s for s, tops in _TOPS.items() if folder.lower() in tops), None)
        if split:
            return split, "/".join(folders[depth + 1 :])
    return "", at


def _category(inside: str) -> str:
    return _plain(inside.rpartition("/")[0])


def _plain(name: str) -> str:
    """Return a category without its letter: /a/airfield is airfield, apartment_building/outdoor."""
    parts = [part for part in name.split("/") if part]
    return "-".join(parts[1:] if len(parts) > 1 and len(parts[0]) == 1 else parts)
