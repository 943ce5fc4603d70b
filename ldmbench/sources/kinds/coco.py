"""The dataset kind `coco`: MS-COCO's captions, boxes of things and stuff, and maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sources.images.disk import Found, some
from ldmbench.sources.images.members import SUFFIXES
from ldmbench.sources.images.source import ImageFile, RegionFacts, Regions
from ldmbench.sources.kinds.coco_captions import (
    MLPERF,
    id_in,
    mlperf_captions,
    table_captions,
)
from ldmbench.sources.kinds.coco_json import Annotations
from ldmbench.sources.kinds.coco_karpathy import KarpathyImages
from ldmbench.sources.kinds.coco_layouts import RULES, challenge_ids, layouts_of
from ldmbench.sources.kinds.map_names import COCO_STUFF
from ldmbench.sources.kinds.tree import NamedImages, first_folder, lines_in, refuse_missing

__all__ = ["CocoImages", "open_coco"]

SPLITS = {"train": "train", "val": "validation"}
_EVALUATED = 2048


def open_coco(path: Path, options: Mapping[str, Any]) -> NamedImages:
    """Return MS-COCO; the fields of CocoData are options."""
    caption, split = options.get("caption", "first"), options.get("split", "official")
    if split != "official":
        return KarpathyImages(path, "coco", options.get("limit"), caption, split)
    return CocoImages(
        path,
        "coco",
        options.get("limit"),
        int(options.get("year", 2017)),
        caption,
        options.get("regions", "none"),
        options.get("ids"),
        options.get("captions"),
    )


@dataclass(frozen=True)
class CocoImages(NamedImages):
    """MS-COCO as its archives unpack: train2017/, val2017/, annotations/*.json.

    Attributes:
        year: 2014 or 2017.
        caption: first (the lowest id), drawn (by the seed of the image's id), or mlperf.
        shown: none, a row of RULES, or map.
        ids: a file of the validation images that are used, an id a line, relative to `path`.
        table: a file of these images with a caption of each.
    """

    year: int
    caption: str
    shown: str
    ids: str | None
    table: str | None

    @property
    def full(self) -> Mapping[str, int]:
        """How many images each split of the year has."""
        if self.ids or self.table or self.shown in ("taming", "sg2im"):
            return {}
        if self.caption == "mlperf":
            return {"train": 82_783, "validation": MLPERF}
        return {
            2014: {"train": 82_783, "validation": 40_504},
            2017: {"train": 118_287, "validation": 5_000},
        }[self.year]

    def look(self) -> Found:
        """Read the annotations of each split that is there."""
        files, parts = list[ImageFile](), _Parts(listed=self._listed())
        for word, split in SPLITS.items():
            folder = first_folder(self.path, (f"{word}{self.year}", f"images/{word}{self.year}"))
            if folder:
                files += self._split(word, split, folder, parts)
        if not files:
            raise InputError(
                f"{self.path}: neither train{self.year}/ nor val{self.year}/ in it; allowed: the"
                " folder in which COCO's zips were unpacked"
            )
        if self.caption == "mlperf" and not parts.listed:
            raise InputError(
                f"{self.path}: annotations/captions_val2014.json or val2014/ is not here, which"
                " caption: mlperf is read from; put it there"
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
        there = {
            file.name
            for file in folder.iterdir()
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
        }
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
        texts = self._texts(split, captions, parts)
        where = folder.relative_to(self.path).as_posix()
        if boxes is not None and self.shown in RULES:
            known = self._laid_out(word, split, boxes, known, parts)
        if self.shown == "map":
            self._maps(word, split, known, parts)
        for name in known:
            at = f"{where}/{name}"
            yield ImageFile(f"{split}/{name}", self.path, 0, texts.get(name), None, split, at)

    def _texts(self, split: str, captions: Annotations | None, parts: _Parts) -> Mapping[str, str]:
        """Return the caption of each image of a split by its name."""
        if split == "validation" and captions and self.caption == "mlperf":
            texts, remarks = mlperf_captions(captions)
            parts.remarks += remarks
            parts.listed = {id_in(name, name): text for name, text in texts.items()}
            return texts
        if split == "validation" and self.table:
            # Images have names of both years.
            start = "COCO_val2014_" if self.year == 2014 else ""
            return {f"{start}{number:012d}.jpg": text for number, text in parts.listed.items()}
        several = sum(len(rows) > 1 for rows in captions.rows.values()) if captions else 0
        if several and self.caption != "drawn":
            parts.remarks.append(
                f"{several:,} images of {split} have several captions: the first of each is used"
            )
        return captions.captions(self.caption) if captions else {}

    def _listed(self) -> dict[int, str]:
        """Return the validation images that a file lists, by id, with their captions if it has."""
        name = self.table or self.ids
        if name is None:
            return {}
        file = self.path / name
        found = table_captions(file) if self.table else {id_in(x, name): "" for x in lines_in(file)}
        if not found:
            raise InputError(f"{file}: lists no image")
        return found

    def _annotations(self, what: str, word: str, parts: _Parts) -> Annotations | None:
        """Return a file of annotations, or None where it is not there or is not asked for."""
        wanted = {"captions", "instances", "stuff"} if self.shown in RULES else {"captions"}
        file = self.path / "annotations" / f"{what}_{word}{self.year}.json"
        if what not in wanted or not file.is_file():
            return None
        parts.read.append(file)
        return Annotations.read(file)

    def _laid_out(
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
        for source in sources:
            for number, name in source.categories.items():
                if parts.names.setdefault(number, name) != name:
                    raise InputError(
                        f"{source.file}: category {number} is {name}, and {parts.names[number]} in"
                        " the file of the other split; fetch both again"
                    )
        ids = challenge_ids(self.path, word) if rule.drawn else None
        found = layouts_of(sources, rule, known, classes=parts.classes, ids=ids)
        parts.classes, parts.most = found.classes, max(parts.most, found.most)
        parts.boxes |= {f"{split}/{name}": regions for name, regions in found.boxes.items()}
        if found.flat:
            parts.remarks.append(
                f"{found.flat:,} boxes of {split} without width or height are left out"
            )
        if len(found.boxes) < len(known):
            parts.remarks.append(
                f"{len(known) - len(found.boxes):,} images of {split} have no layout by the rule"
                f" {self.shown} and are left out"
            )
        return [*found.boxes]

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
        if parts.listed:
            name = self.ids or self.table
            parts.read += [self.path / name] if name else []
            known = {id_in(f.name, f.name): f for f in held}
            remarks = refuse_missing(
                self.path,
                name or f"MLPerf's {len(parts.listed):,}",
                [str(number) for number in parts.listed],
                [str(number) for number in parts.listed if number in known],
            )
            chosen = {f.name for number, f in known.items() if number in parts.listed}
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
    classes: Mapping[int, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    most: int = 0
    listed: Mapping[int, str] = field(default_factory=dict)
