"""The dataset kind `coco`: MS-COCO's captions, boxes of things and stuff, and maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ldmbench.errors import InputError
from ldmbench.sources.images.disk import Found, some
from ldmbench.sources.images.source import ImageFile, RegionFacts, Regions
from ldmbench.sources.kinds.coco_json import Annotations, box_of
from ldmbench.sources.kinds.map_names import COCO_STUFF
from ldmbench.sources.kinds.tree import NamedImages, first_folder, lines_in, refuse_missing

__all__ = ["CocoImages", "open_coco"]

SPLITS = {"train": "train", "val": "validation"}
_EVALUATED = 2048
_CHALLENGE = "deprecated-challenge2017"


@dataclass(frozen=True)
class _Rule:
    """Which objects a layout has, and which images have one.

    Attributes:
        stuff: whether stuff is read beside things.
        area: share of the image that a box must exceed.
        least: objects that an image must have.
        most: objects that it may have; None: any.
        text: whether classes are numbered by their ids sorted as text, else as numbers.
    """

    stuff: bool
    area: float = 0.0
    least: int = 0
    most: int | None = None
    text: bool = False


RULES: Mapping[str, _Rule] = {
    "things": _Rule(stuff=False),
    "taming": _Rule(stuff=True, area=1e-5, least=2, most=30, text=True),
    "sg2im": _Rule(stuff=True, area=0.02, least=3, most=8),
}
"""`things`: all boxes but crowds'. `taming`: taming-transformers' annotated_objects_coco.py.
`sg2im`: sg2im/data/coco.py; its test split is the last 2,048 images of the filtered list."""


def open_coco(path: Path, options: Mapping[str, Any]) -> CocoImages:
    """Return MS-COCO; the fields of CocoData are options."""
    return CocoImages(
        path,
        "coco",
        options.get("limit"),
        int(options.get("year", 2017)),
        options.get("caption", "first"),
        options.get("regions", "none"),
        options.get("ids"),
    )


@dataclass(frozen=True)
class CocoImages(NamedImages):
    """MS-COCO as its archives unpack: train2017/, val2017/, annotations/*.json.

    Attributes:
        year: 2014 or 2017.
        caption: first (the lowest id) or drawn (by the seed of the image's id).
        shown: none, a row of RULES, or map.
        ids: a file of the validation images that are used, an id a line, relative to `path`.
    """

    year: int
    caption: str
    shown: str
    ids: str | None

    @property
    def full(self) -> Mapping[str, int]:
        """How many images each split of the year has."""
        if self.ids or self.shown in ("taming", "sg2im"):
            return {}
        return {
            2014: {"train": 82_783, "validation": 40_504},
            2017: {"train": 118_287, "validation": 5_000},
        }[self.year]

    def look(self) -> Found:
        """Read the annotations of each split that is there."""
        files, parts = list[ImageFile](), _Parts()
        for word, split in SPLITS.items():
            folder = first_folder(self.path, (f"{word}{self.year}", f"images/{word}{self.year}"))
            if folder:
                files += self._split(word, split, folder, parts)
        if not files:
            raise InputError(
                f"{self.path}: neither train{self.year}/ nor val{self.year}/ in it; allowed: the"
                " folder in which COCO's zips were unpacked"
            )
        files, remarks = self._chosen(files, parts)
        return Found(
            tuple(files),
            tuple(parts.read),
            tuple(parts.folders),
            (*parts.remarks, *remarks),
            regions=self._facts(parts),
            boxes=parts.boxes,
            maps=parts.maps,
            shift=1,
        )

    def _split(self, word: str, split: str, folder: Path, parts: _Parts) -> Iterator[ImageFile]:
        """Yield the images of a split that are there, with captions; keep boxes and maps."""
        there = {file.name for file in folder.iterdir() if not file.name.startswith(".")}
        parts.folders.append(folder)
        captions = self._annotations("captions", word, parts)
        boxes = self._annotations("instances", word, parts)
        if self.shown in RULES and boxes is None:
            raise InputError(
                f"{self.path}: annotations/instances_{word}{self.year}.json is not here, from which"
                f" regions: {self.shown} are read; put it there"
            )
        index = captions or boxes
        if index is None:
            known = sorted(there)
        else:
            known = [image.name for image in index.images.values() if image.name in there]
            whole = [image.name for image in index.images.values()]
            what = f"{index.file.name}"
            refuse_missing(self.path, what, whole, known)
            lost = len(there) - len(known)
            if lost:
                parts.remarks.append(f"{lost:,} files of {folder.name}/ are not in {what}")
        texts = captions.captions(self.caption) if captions else {}
        several = sum(len(rows) > 1 for rows in captions.rows.values()) if captions else 0
        if several and self.caption == "first":
            parts.remarks.append(
                f"{several:,} images of {split} have several captions: the first of each is used"
            )
        where = folder.relative_to(self.path).as_posix()
        if boxes is not None and self.shown in RULES:
            known = self._layouts(word, split, boxes, known, parts)
        if self.shown == "map":
            self._maps(word, split, known, parts)
        for name in known:
            at = f"{where}/{name}"
            yield ImageFile(f"{split}/{name}", self.path, 0, texts.get(name), None, split, at)

    def _annotations(self, what: str, word: str, parts: _Parts) -> Annotations | None:
        """Return a file of annotations, or None where it is not there or is not asked for."""
        wanted = {"captions", "instances", "stuff"} if self.shown in RULES else {"captions"}
        file = self.path / "annotations" / f"{what}_{word}{self.year}.json"
        if what not in wanted or not file.is_file():
            return None
        parts.read.append(file)
        return Annotations.read(file)

    def _layouts(
        self, word: str, split: str, things: Annotations, known: Sequence[str], parts: _Parts
    ) -> list[str]:
        """Keep the boxes of images by a rule; return the images that have a layout."""
        rule, sources = RULES[self.shown], [things]
        if rule.stuff:
            stuff = self._annotations("stuff", word, parts)
            if stuff is None:
                raise InputError(
                    f"{self.path}: annotations/stuff_{word}{self.year}.json is not here, from which"
                    f" regions: {self.shown} are read; put it there, or write regions: things"
                )
            sources.append(stuff)
        parts.classes = parts.classes or _numbers(sources, rule)
        for source in sources:
            parts.names |= source.categories
        ids = self._challenge(word) if self.shown == "sg2im" else None
        kept, flat = [], 0
        by_name = {image.name: number for number, image in things.images.items()}
        for name in known:
            number = by_name.get(name)
            if number is None or (ids is not None and number not in ids):
                continue
            if self.shown == "sg2im" and not sources[-1].rows.get(number):
                continue
            regions, dropped = _regions(sources, number, rule, parts.classes)
            flat += dropped
            count = len(regions.labels)
            if rule.least <= count <= (rule.most or count):
                parts.boxes[f"{split}/{name}"] = regions
                parts.most = max(parts.most, count)
                kept.append(name)
        if flat:
            parts.remarks.append(f"{flat:,} boxes of {split} without width or height are left out")
        if len(kept) < len(known):
            parts.remarks.append(
                f"{len(known) - len(kept):,} images of {split} have no layout by the rule"
                f" {self.shown} and are left out"
            )
        return kept

    def _challenge(self, word: str) -> set[int] | None:
        """Return the ids of COCO's segmentation challenge of 2017, where its lists are there."""
        file = self.path / "annotations" / _CHALLENGE / f"{word}-ids.txt"
        return {int(line) for line in lines_in(file)} if file.is_file() else None

    def _maps(self, word: str, split: str, known: Sequence[str], parts: _Parts) -> None:
        inside = f"{word}{self.year}"
        names = (f"stuffthingmaps_trainval2017/{inside}", f"stuffthingmaps/{inside}")
        folder = first_folder(self.path, names)
        if folder is None:
            raise InputError(
                f"{self.path}: {names[0]}/ is not here, from which regions: map are read; unpack"
                " COCO-Stuff's stuffthingmaps_trainval2017.zip there"
            )
        parts.folders.append(folder)
        there = {file.name for file in folder.iterdir()}
        lost = [name for name in known if f"{Path(name).stem}.png" not in there]
        if lost:
            raise InputError(
                f"{folder}: {len(lost):,} images have no map, such as {some(lost)}; unpack the zip"
                " again, or remove the images"
            )
        top = folder.relative_to(self.path).as_posix()
        parts.maps |= {f"{split}/{name}": f"{top}/{Path(name).stem}.png" for name in known}

    def _chosen(self, files: list[ImageFile], parts: _Parts) -> tuple[list[ImageFile], list[str]]:
        """Return the images that are used, by a list of ids or the rule of sg2im."""
        held = [file for file in files if file.split == "validation"]
        if self.ids:
            file = self.path / self.ids
            parts.read.append(file)
            try:
                wanted = {int(Path(line).stem.rpartition("_")[2]) for line in lines_in(file)}
            except ValueError as error:
                raise InputError(f"{file}: each line is an id of an image ({error})") from None
            known = {_id_of(f): f for f in held}
            remarks = refuse_missing(
                self.path,
                self.ids,
                [str(number) for number in wanted],
                [str(number) for number in wanted if number in known],
            )
            chosen = {f.name for number, f in known.items() if number in wanted}
            return [f for f in files if f.split != "validation" or f.name in chosen], remarks
        if self.shown == "sg2im" and len(held) > _EVALUATED:
            chosen = {file.name for file in held[-_EVALUATED:]}
            kept = [f for f in files if f.split != "validation" or f.name in chosen]
            return kept, [
                f"of {len(held):,} validation images with a layout the last {_EVALUATED:,} are"
                " used, as in sg2im"
            ]
        return files, []

    def _facts(self, parts: _Parts) -> RegionFacts | None:
        if self.shown == "map":
            return RegionFacts(len(COCO_STUFF), len(COCO_STUFF), maps=True, names=COCO_STUFF)
        if self.shown in RULES:
            most = RULES[self.shown].most or parts.most
            named = tuple(parts.names[category] for category in parts.classes)
            return RegionFacts(len(parts.classes), most, maps=False, names=named)
        return None


@dataclass
class _Parts:
    """What is gathered over the splits."""

    read: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    boxes: dict[str, Regions] = field(default_factory=dict)
    maps: dict[str, str] = field(default_factory=dict)
    classes: dict[int, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    most: int = 0


def _id_of(file: ImageFile) -> int:
    return int(Path(file.name).stem.rpartition("_")[2])


def _numbers(sources: Sequence[Annotations], rule: _Rule) -> dict[int, int]:
    """Return category id -> class; stuff's `other` is none."""
    ids = {i for s in sources for i, name in s.categories.items() if name != "other"}
    ordered = sorted(ids, key=str) if rule.text else sorted(ids)
    return {number: row for row, number in enumerate(ordered)}


def _regions(
    sources: Sequence[Annotations], number: int, rule: _Rule, classes: Mapping[int, int]
) -> tuple[Regions, int]:
    """Return the boxes of an image, in [0, 1], and how many have no width or height."""
    boxes, labels, flat = [], [], 0
    for source in sources:
        image = source.images.get(number)
        for row in source.rows.get(number, ()) if image else ():
            assert image is not None
            x, y, width, height = box_of(row, image, source.file)
            category = int(row.get("category_id", -1))
            if category not in source.categories:
                raise InputError(
                    f"{source.file}: annotation {row.get('id')} is of category {category}, which"
                    " the file does not name; fetch it again"
                )
            if width <= 0 or height <= 0:
                flat += 1
                continue
            if category not in classes or (not rule.stuff and row.get("iscrowd")):
                continue
            if width * height <= rule.area * image.width * image.height:
                continue
            size = np.array([image.width, image.height] * 2)
            box = np.array([x, y, x + width, y + height]) / size
            boxes.append(np.clip(box, 0, 1))
            labels.append(classes[category])
    found = np.array(boxes).reshape(-1, 4)
    return Regions(found, np.array(labels, dtype=np.int64)), flat
