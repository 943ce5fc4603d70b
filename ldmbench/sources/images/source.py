"""What a plan and a worker ask of images that lie on disk, whatever kind of dataset they are.

A kind of dataset is a noun in schema/data.py (what a suite may say of it), a file in sources/kinds/
with a class that has the methods of `Source`, and a row of `sources.kinds.OPENERS`.
Splits, counts, facts, conditions and remarks follow from the listing, so no kind writes them anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ldmbench.canonical import Stamp
from ldmbench.schema.data import DataFacts

__all__ = [
    "ImageFile",
    "Inspection",
    "Listing",
    "Opener",
    "Pixels",
    "RegionFacts",
    "Regions",
    "Source",
    "classes_of",
]

Pixels: TypeAlias = npt.NDArray[np.uint8]


class Source(Hashable, Protocol):
    """The images of one dataset on disk. It is hashable, and equal to another of the same place.

    What a method raises is an InputError that names the place and says what to do.
    """

    @property
    def path(self) -> Path:
        """Return where it lies: a file or a folder."""

    def listing(self) -> Listing:
        """Return what it holds; no picture is opened, and it is listed anew only if it changed."""

    def digest(self, cache: Path | None) -> str:
        """Return the sha256 of what images, captions and classes are, wherever they lie.

        Args:
            cache: of `Remembered`, so that nothing is read twice.
        """

    def check(self, cache: Path | None, *, resolution: int, crop: str, upscale: bool) -> None:
        """Refuse images that a run could not use, all in one error.

        Args:
            cache: of `Remembered`.
            resolution: side in pixels to which images are brought.
            crop: a name of `schema.data.FolderData.crop`.
            upscale: whether smaller images may be enlarged.
        """

    def inspect(self) -> Inspection:
        """Decode every image of a source of one split, and say what is there."""

    def states(self, files: Sequence[ImageFile]) -> Mapping[str, Stamp | None]:
        """Return the stamps of the files on disk that images come from, None where one is gone."""

    def captions(self, files: Sequence[ImageFile]) -> tuple[str, ...] | None:
        """Return the caption of each image, "" where it has none, or None if no image has one."""

    def pictures(self, files: Sequence[ImageFile]) -> Iterator[Pixels]:
        """Yield uint8 HWC, RGB, for each image, in order."""

    def regions(self, files: Sequence[ImageFile]) -> Iterator[Regions]:
        """Yield what is where in each image, in order; nothing unless `Listing.regions` says so."""


Opener = Callable[[Path, Mapping[str, object]], Source]
"""Takes where a dataset lies and the fields of its noun; opens nothing yet."""


@dataclass(frozen=True)
class Regions:
    """What is where in one image: objects with boxes, or a map of classes.

    Attributes:
        boxes: float64 (K, 4), x0 y0 x1 y1 in [0, 1] of the whole picture.
        labels: int64 (K,), the class of each box.
        map: uint8 (H, W) of the picture's size, 1 + class of a pixel, 0 where it has none; or None.
    """

    boxes: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    map: Pixels | None = None


@dataclass(frozen=True)
class RegionFacts:
    """What is known of the regions of all images of a source.

    Attributes:
        classes: of boxes or maps.
        most: boxes that an image has at most; of maps the classes, since object k is class k.
        maps: whether the regions are pixels, else boxes.
        names: of the classes, in their order; empty where they are not known.
    """

    classes: int
    most: int
    maps: bool
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image of a source, not yet read.

    Attributes:
        name: where it is in the source, with "/" between folders; for npz the row, "00000007".
        source: the folder, zip or npz.
        label: its class; 0 where the source has none, -1 where others have one and it has not.
        caption: from a file of captions, else None.
        text: what the .txt or .caption beside it is called in the source, else None.
        split: train, validation, reference, test, or "" for images outside such folders.
        at: what it is called in the source.
    """

    name: str
    source: Path
    label: int = 0
    caption: str | None = None
    text: str | None = None
    split: str = ""
    at: str = ""

    @property
    def where(self) -> str:
        """What an error calls this image."""
        return f"{self.source}/{self.at}"


@dataclass
class Inspection:
    """What was found in a source.

    Attributes:
        names: of all images, in the order in which they are used; then pictures that are not read.
        digests: name -> sha256 of the file (of the pixels for an npz).
        sizes: (width, height) -> how many.
        lossy: how many are jpg, jpeg or webp files.
        captions: how many have one.
        left_out: other files that nothing reads, but for notes.
        remarks: what else is left out, counted.
        problems: one sentence for every image that cannot be used.
        split: "all" where all images lie in one folder of a split, else "train".
    """

    names: tuple[str, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    lossy: int = 0
    captions: int = 0
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)
    split: Literal["train", "all"] = "train"


@dataclass(frozen=True)
class Listing:
    """What a source holds.

    Attributes:
        files: its images, by name.
        tables: name -> what files are called that tell of many images.
        unread: names of pictures in formats that are not read.
        left_out: names of other files that nothing reads and that may hold images.
        remarks: what is left out or read in another way than folders alone say, each counted.
        plain: whether names alone say the split and class of every image.
        regions: what is known of boxes or maps, where the source has any.
    """

    files: tuple[ImageFile, ...]
    tables: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    plain: bool = True
    regions: RegionFacts | None = None

    @property
    def said(self) -> tuple[str, ...]:
        """Return all that is to be said of it: the remarks, and how many files nothing reads."""
        more = self.left_out
        if not more:
            return self.remarks
        return (*self.remarks, f"{len(more):,} other files are not read, such as {more[0]}")

    @property
    def facts(self) -> DataFacts:
        """Return what its images can tell a model."""
        captions = any(f.text or f.caption is not None for f in self.files)
        shown = self.regions
        return DataFacts(
            classes=max(classes_of(self.files), shown.classes if shown else 0),
            captions=captions,
            boxes=shown is not None,
            masks=shown is not None and shown.maps,
        )


def classes_of(files: Sequence[ImageFile]) -> int:
    """Return how many classes images have; at least one."""
    return max([0, *(file.label for file in files)]) + 1
