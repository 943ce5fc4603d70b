"""The dataset kind `openimages`: images of Open Images V6 with their boxes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ldmbench.errors import InputError
from ldmbench.sources.images.disk import Found, some
from ldmbench.sources.images.members import SUFFIXES
from ldmbench.sources.images.source import ImageFile, RegionFacts, Regions
from ldmbench.sources.kinds.tree import NamedImages, first_folder

__all__ = ["OpenImages", "open_openimages"]

_MOST = 30
_LEAST = 2
_AREA = 1e-4
_EDGE = 1e-3
"""Share of the side by which a box may reach over the edge: rounding of the CSV."""
_NAMES = "class-descriptions-boxable.csv"
_COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
_FLAGS = ("IsGroupOf", "IsOccluded", "IsTruncated", "IsDepiction", "IsInside")


def open_openimages(path: Path, options: Mapping[str, Any]) -> OpenImages:
    """Return Open Images; the fields of OpenImagesData are options."""
    return OpenImages(path, "openimages", options.get("limit"), options.get("regions", "boxes"))


@dataclass(frozen=True)
class OpenImages(NamedImages):
    """train/, validation/ and test/ of 16 hexadecimal digits .jpg, and the CSV files of boxes.

    Attributes:
        shown: boxes (area above 1e-4, images of 2 to 30 boxes, as taming-transformers; all
            classes), or none.
    """

    shown: str

    @property
    def full(self) -> Mapping[str, int]:
        """How many images each split has; of those with boxes fewer are used by the rule."""
        return super().full if self.shown == "none" else {}

    def look(self) -> Found:
        """Look at names and read the boxes of each split that is there."""
        named = self._classes() if self.shown == "boxes" else []
        parts = _Parts({row[0]: number for number, row in enumerate(named)})
        files = list[ImageFile]()
        for split in ("train", "validation", "test"):
            folder = first_folder(self.path, (f"{split}/data", split))
            if folder:
                files += self._split(split, folder, parts)
        if not files:
            raise InputError(
                f"{self.path}: none of train/, validation/ and test/ with images in it; allowed:"
                " the folder of Open Images with a folder a split"
            )
        names = tuple(row[1] for row in named)
        facts = RegionFacts(len(names), _MOST, maps=False, names=names) if names else None
        return Found(
            tuple(files),
            tuple(parts.read),
            tuple(parts.folders),
            tuple(parts.remarks),
            regions=facts,
            boxes=parts.boxes,
        )

    def _classes(self) -> list[list[str]]:
        """Return id and name of each class, in the order of the file."""
        file = self._file(_NAMES, "metadata/classes.csv")
        if file is None:
            raise InputError(
                f"{self.path}: {_NAMES} is not here, which numbers the classes of boxes; put it"
                " there, or write regions: none"
            )
        rows = [row for row in csv.reader(_lines(file)) if row]
        if not all(len(row) == 2 and row[0].startswith("/") for row in rows):
            raise InputError(f"{file}: each line is a class's id and name: /m/011k07,Tortoise")
        if len({row[0] for row in rows}) < len(rows):
            raise InputError(f"{file}: a class is there twice; its place is its number, fetch it")
        return rows

    def _file(self, *names: str) -> Path | None:
        return next((self.path / name for name in names if (self.path / name).is_file()), None)

    def _split(self, split: str, folder: Path, parts: _Parts) -> Iterator[ImageFile]:
        names = sorted(f.name for f in folder.iterdir() if f.suffix.lower() in SUFFIXES)
        parts.folders.append(folder)
        if parts.classes and split != "test":
            names = self._boxes(split, names, parts)
        top = folder.relative_to(self.path).as_posix()
        for name in names:
            yield ImageFile(f"{split}/{name}", self.path, 0, None, None, split, f"{top}/{name}")

    def _boxes(self, split: str, names: Sequence[str], parts: _Parts) -> list[str]:
        """Keep the boxes of images that are there; return those that have a layout."""
        wanted = (
            f"oidv6-{split}-annotations-bbox.csv",
            f"{split}-annotations-bbox.csv",
            f"{split}/labels/detections.csv",
        )
        file = self._file(*wanted)
        if file is None:
            raise InputError(
                f"{self.path}: {wanted[split != 'train']} is not here, from which the boxes of"
                f" {split}/ are read; put it there, or write regions: none"
            )
        parts.read.append(file)
        rows, unknown = self._rows(file, {Path(name).stem for name in names}, parts.classes)
        if unknown:
            parts.remarks.append(
                f"{unknown:,} boxes of {split} have flags of -1, which say that nobody looked"
            )
        kept = []
        for name in names:
            found = [row for row in rows.get(Path(name).stem, []) if row[0] > _AREA]
            if _LEAST <= len(found) <= _MOST:
                boxes = np.array([row[1] for row in found])
                labels = np.array([row[2] for row in found], np.int64)
                parts.boxes[f"{split}/{name}"] = Regions(boxes, labels)
                kept.append(name)
        if not kept:
            raise InputError(
                f"{self.path}: no image of {split}/ has {_LEAST} to {_MOST} boxes in {file.name}"
            )
        if len(kept) < len(names):
            parts.remarks.append(
                f"{len(names) - len(kept):,} images of {split} do not have {_LEAST} to {_MOST}"
                " boxes and are left out, as in taming-transformers"
            )
        return kept

    def _rows(
        self, file: Path, wanted: set[str], classes: Mapping[str, int]
    ) -> tuple[dict[str, list[tuple[float, tuple[float, ...], int]]], int]:
        """Return image -> area, x0 y0 x1 y1 and class of its boxes; how many flags are -1."""
        found: dict[str, list[tuple[float, tuple[float, ...], int]]] = {}
        unknown = 0
        table = csv.DictReader(_lines(file))
        lost = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
        if lost:
            raise InputError(f"{file}: no column {some(lost)}; its columns are {some(_COLUMNS, 6)}")
        for row in table:
            image = row["ImageID"].rjust(16, "0")
            if image not in wanted:
                continue
            where = f"{file}:{table.line_num}"
            try:
                x0, x1, y0, y1 = (float(row[name]) for name in _COLUMNS[2:])
            except (TypeError, ValueError):
                raise InputError(f"{where}: XMin, XMax, YMin, YMax are not four numbers") from None
            if row["LabelName"] not in classes:
                raise InputError(
                    f"{where}: the class {row['LabelName']} is not in {_NAMES}; fetch both again"
                )
            if not (-_EDGE <= x0 < x1 <= 1 + _EDGE and -_EDGE <= y0 < y1 <= 1 + _EDGE):
                raise InputError(
                    f"{where}: the box {x0}, {x1}, {y0}, {y1} lies outside of 0 to 1, or has no"
                    " area; columns are XMin, XMax, YMin, YMax as shares of the sides"
                )
            unknown += any(row.get(flag) == "-1" for flag in _FLAGS)
            box = tuple(min(max(value, 0.0), 1.0) for value in (x0, y0, x1, y1))
            area = (x1 - x0) * (y1 - y0)
            found.setdefault(image, []).append((area, box, classes[row["LabelName"]]))
        return found, unknown


@dataclass
class _Parts:
    """What is gathered over the splits."""

    classes: dict[str, int]
    read: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    boxes: dict[str, Regions] = field(default_factory=dict)


def _lines(file: Path) -> Iterator[str]:
    """Yield the lines of a CSV, which is larger than memory should hold."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            yield from lines
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error}); fetch it again") from None
