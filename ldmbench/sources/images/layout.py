"""What names of images mean: the split and the class that folders give them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ldmbench.errors import InputError

__all__ = ["SPLITS", "Places", "is_sharded", "places_of", "split_of", "top_folder"]

SPLITS = ("train", "validation", "reference")
HELD = "test"
"""What is held out and belongs to no split."""
_WORDS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": HELD, "testing": HELD, "eval": HELD, "evaluation": HELD,
    "reference": "reference",
}  # fmt: skip
_SPLIT = re.compile(
    rf"({'|'.join(sorted(_WORDS, key=len, reverse=True))})"
    r"(?:[-_ ]?(?:set|split|images?|imgs?|data|large|small|\d{2,4}(?:px|x\d{2,4})?))*"
)
_SHARD = re.compile(r"(\d{5,})/(?:img)?(\d{5,})\.\w+")


@dataclass(frozen=True)
class Places:
    """Where images lie, once packaging is taken off.

    Attributes:
        top: the folders around all images that mean nothing, "data/" or "".
        split: name -> train, validation, reference, test, or "" for images outside such folders.
        folder: name -> the class folder, or "".
    """

    top: str
    split: Mapping[str, str]
    folder: Mapping[str, str]


def split_of(folder: str) -> str:
    """Return the split that a folder's name says, or '': Train, val2017, valid_256, test, ..."""
    found = _SPLIT.fullmatch(folder.lower())
    return _WORDS[found[1]] if found else ""


def top_folder(name: str) -> str:
    """Return the first folder of a name, or ''."""
    return name.split("/", maxsplit=1)[0] if "/" in name else ""


def places_of(path: Path, names: Collection[str]) -> Places:
    """Return where images lie: one folder around them all is looked through, unless it is a split.

    Raises:
        InputError: if two folders are the same split, train/ could be a class, or splits lie
            below folders that are none.
    """
    top = _around(names)
    inner = {name: name[len(top) :] for name in names}
    tops = Counter(map(top_folder, inner.values()))
    splits = {folder: split_of(folder) for folder in tops}
    _refuse_twice(path, splits)
    _refuse_class(path, splits)
    if not any(splits.values()):
        _refuse_deeper(path, names)
    folder = {}
    for name, rest in inner.items():
        first = top_folder(rest)
        folder[name] = top_folder(rest.split("/", 1)[1]) if splits[first] else first
    return Places(top, {name: splits[top_folder(rest)] for name, rest in inner.items()}, folder)


def is_sharded(names: Iterable[str]) -> bool:
    """Tell folders that are parts of a numbering from classes: 00012/img00012345.png.

    So number StyleGAN and EDM (by thousands), FFHQ (12000/12345.png) and img2dataset.
    """
    found = [_SHARD.fullmatch(name) for name in names]
    pairs = [(int(m[1]), int(m[2])) for m in found if m]
    if len(pairs) < len(found) or not pairs:
        return False
    parts = ((1000, 1), (1000, 1000), (10_000, 1))
    return any(all(folder == n // size * step for folder, n in pairs) for size, step in parts)


def _around(names: Collection[str]) -> str:
    """Return the folders around all names but the last, none of them a split: 'a/b/' or ''."""
    parts = [PurePosixPath(name).parts[:-1] for name in names]
    top: list[str] = []
    for folders in zip(*parts):
        if len(set(folders)) > 1 or split_of(folders[0]):
            break
        top.append(folders[0])
    return "".join(f"{folder}/" for folder in top)


def _refuse_twice(path: Path, splits: Mapping[str, str]) -> None:
    for split in SPLITS:
        same = sorted(folder for folder, found in splits.items() if found == split)
        if len(same) > 1:
            raise InputError(
                f"{path}: {' and '.join(f'{s}/' for s in same)} are both {split}; keep one of them"
            )


def _refuse_class(path: Path, splits: Mapping[str, str]) -> None:
    """Refuse train/ among folders that are no splits: a train is a vehicle, too."""
    named = [folder for folder, split in splits.items() if split]
    other = sorted(folder for folder, split in splits.items() if folder and not split)
    if len(named) == 1 and splits[named[0]] == "train" and other:
        raise InputError(
            f"{path}: {named[0]}/ lies beside {len(other)} other folders of images, such as"
            f" {other[0]}/: rename it if it is a class, move them out if it is the training split"
        )


def _refuse_deeper(path: Path, names: Iterable[str]) -> None:
    """Refuse cats/train/ and cats/test/, and data/train/ and data/val/ beside other images."""
    found: dict[str, str] = {}
    for lowest in sorted({name.rpartition("/")[0] for name in names}):
        for folder in (PurePosixPath(lowest), *PurePosixPath(lowest).parents):
            found.setdefault(split_of(folder.name), str(folder))
    deeper = [folder for split, folder in found.items() if split]
    if len(deeper) > 1:
        raise InputError(
            f"{path}: {deeper[0]}/ and {deeper[1]}/ are splits, but lie below folders that are"
            " none; move train/ and validation/ to the top, with the classes in them"
        )
