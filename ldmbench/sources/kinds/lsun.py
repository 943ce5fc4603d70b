"""The dataset kind `lsun`: lmdb folders, exported images, and CompVis's lists of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmbench.catalog.datasets import LSUN
from ldmbench.errors import InputError
from ldmbench.registry import pick
from ldmbench.sources.images.disk import Found, Payload, Place, some
from ldmbench.sources.images.source import ImageFile
from ldmbench.sources.kinds.lmdb import lmdb_entries, lmdb_payloads, lmdb_split
from ldmbench.sources.kinds.tree import NamedImages, Tree, lines_in, refuse_missing, tree_at

__all__ = ["LsunImages", "open_lsun"]

_KEY = re.compile(r"[0-9a-f]{40}")
_DATA = "data.mdb"
_LIST = re.compile(r"(\w+?)_(train|val)\.txt")
_PLURALS = {"bedrooms": "bedroom", "churches": "church_outdoor", "cats": "cat"}


def open_lsun(path: Path, options: Mapping[str, Any]) -> LsunImages:
    """Return one category of LSUN; the fields of LsunData are options."""
    return LsunImages(
        path,
        "lsun",
        options.get("limit"),
        str(options.get("category")),
        options.get("split", "official"),
    )


@dataclass(frozen=True)
class LsunImages(NamedImages):
    """One category: CATEGORY_train_lmdb and CATEGORY_val_lmdb, or images named by 40 digits.

    An image is called by its key, so that lmdb and exported images give the same splits.

    Attributes:
        category: church_outdoor, bedroom, ...
        split: official (the lmdb folders, or train and val folders) or compvis (its lists).
    """

    category: str
    split: str

    @property
    def full(self) -> Mapping[str, int]:
        """How many images each split of the category has."""
        official = pick(LSUN, self.category, "category of LSUN")
        if self.split == "official":
            return official
        held = 5000
        return {"train": official["train"] - held, "validation": held}

    def look(self) -> Found:
        """Look at keys or names."""
        tree = tree_at(self.path)
        packed = [name for name in tree.names if name.rpartition("/")[2] == _DATA]
        found = self._packed(tree, packed) if packed else self._exported(tree)
        return self._listed(tree, found) if self.split == "compvis" else found

    def payloads(self, files: Sequence[ImageFile]) -> Iterator[Payload]:
        """Yield the encoded bytes of each image."""
        places = self.found().places
        if not places:
            return super().payloads(files)
        return lmdb_payloads(
            [(places[file.name][0], file.name.rpartition("/")[2][:40]) for file in files]
        )

    def _packed(self, tree: Tree, packed: Sequence[str]) -> Found:
        wanted, files, places = [], list[ImageFile](), dict[str, Place]()
        for name in packed:
            folder = name.rpartition("/")[0] or self.path.name
            if self.category in folder.rpartition("/")[2]:
                wanted.append((self.path / name, lmdb_split(folder)))
        if not wanted:
            there = [name.rpartition("/")[0] or self.path.name for name in packed]
            raise InputError(
                f"{self.path}: no {self.category}_train_lmdb in it, but {some(there)}; name one of"
                " the categories that are there"
            )
        for data, split in wanted:
            for key, _ in lmdb_entries(data):
                if not _KEY.fullmatch(key):
                    raise InputError(
                        f"{data}: the key {key} is not the 40 hexadecimal digits that LSUN's keys"
                        " are; kind: lmdb reads others"
                    )
                name = f"{split or 'train'}/{key}.webp"
                places[name] = (data, 0, 0)
                files.append(ImageFile(name, self.path, 0, None, None, split, name))
        read = tuple(data for data, _ in wanted)
        self._refuse_twice(files)
        return Found(tuple(files), read, tree.folders, places=places)

    def _refuse_twice(self, files: Sequence[ImageFile]) -> None:
        if len({file.name for file in files}) < len(files):
            raise InputError(
                f"{self.path}: an image lies there twice; name the folder of one category"
            )

    def _exported(self, tree: Tree) -> Found:
        files = []
        for at in tree.pictures:
            *folders, last = at.split("/")
            key = last.partition(".")[0].lower()
            if not _KEY.fullmatch(key):
                continue
            words = [word for folder in folders for word in folder.lower().split("_")]
            known = {"train": "train", "val": "validation", "test": "test"}
            split = next((known[word] for word in words if word in known), "")
            name = f"{split or 'train'}/{key}.webp"
            files.append(ImageFile(name, self.path, 0, None, None, split, at))
        if not files:
            raise InputError(
                f"{self.path}: neither {_DATA} of an lmdb nor images whose names are 40"
                " hexadecimal digits, as LSUN's data.py exports them"
            )
        self._refuse_twice(files)
        return Found(tuple(files), (), tree.folders, pictures=tree.pictures)

    def _listed(self, tree: Tree, found: Found) -> Found:
        """Take the splits of CompVis's lists, whose lines are 40 digits and .webp."""
        lists = {}
        for name in (*tree.names, *(f.name for f in self.path.parent.glob("*.txt"))):
            match = _LIST.fullmatch(name.rpartition("/")[2])
            if match and _PLURALS.get(match[1], match[1]) == self.category:
                inside = self.path / name
                lists[match[2]] = inside if inside.exists() else self.path.parent / name
        lost = [f"{self.category}_{split}.txt" for split in ("train", "val") if split not in lists]
        if lost:
            raise InputError(
                f"{self.path}: {some(lost)} of CompVis (data/lsun) not here; put the lists there,"
                " or write split: official"
            )
        taken = set[str]()
        keys = {file.name.rpartition("/")[2][:40]: file for file in found.files}
        files, places, remarks = list[ImageFile](), dict[str, Place](), list(found.remarks)
        for word, split in (("train", "train"), ("val", "validation")):
            wanted = [line[:40].lower() for line in lines_in(lists[word])]
            there = [key for key in dict.fromkeys(wanted) if key in keys]
            remarks += refuse_missing(self.path, lists[word].name, wanted, there)
            for key in there:
                old = keys[key]
                if word == "val" and f"train/{key}.webp" in taken:
                    raise InputError(
                        f"{lists[word]}: {key} is in {lists['train'].name} too; keep it in one of"
                        " them"
                    )
                name = f"{split}/{key}.webp"
                taken.add(name)
                at = old.at if not found.places else name
                files.append(ImageFile(name, self.path, 0, None, None, split, at))
                if found.places:
                    places[name] = found.places[old.name]
        left = len(keys) - len({file.name.rpartition("/")[2] for file in files})
        if left:
            remarks.append(f"{left:,} images are in no list of CompVis and are not used")
        read = (*found.read, *lists.values())
        return Found(tuple(files), read, found.watched, tuple(remarks), places)
