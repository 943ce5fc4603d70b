"""MS-COCO by Karpathy's split: the images and captions of dataset_coco.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ldmbench.errors import InputError
from ldmbench.sources.images.disk import Found
from ldmbench.sources.images.source import ImageFile
from ldmbench.sources.kinds.coco_captions import KARPATHY_SPLITS, karpathy_images, one_of
from ldmbench.sources.kinds.tree import NamedImages, first_folder, refuse_missing

__all__ = ["KarpathyImages"]


@dataclass(frozen=True)
class KarpathyImages(NamedImages):
    """MS-COCO of 2014, train2014/ and val2014/, divided as image captioning divides it.

    Attributes:
        caption: first (of the file) or drawn (by the seed of the image's id).
        split: a row of KARPATHY_SPLITS.
    """

    caption: str
    split: str

    @property
    def full(self) -> Mapping[str, int]:
        """How many images each split has: train is its train and restval."""
        return {"train": 113_287, "validation": 5_000, "test": 5_000}

    def look(self) -> Found:
        """Read dataset_coco.json, and which of its images are there."""
        read, images, remarks = karpathy_images(self.path)
        lies = {name: self._folder(name) for name in ("train2014", "val2014")}
        folders = [folder for folder in lies.values() if folder]
        if not folders:
            raise InputError(
                f"{self.path}: neither train2014/ nor val2014/ in it; allowed: the folder in which"
                " COCO's zips of 2014 were unpacked"
            )
        there = {(f.name, file.name) for f in folders for file in f.iterdir()}
        known = [image for image in images if (image.folder, image.name) in there]
        if not known:
            refuse_missing(self.path, read.name, [image.name for image in images], [])
        several = sum(len(image.captions) > 1 for image in known)
        if several and self.caption == "first":
            remarks.append(f"{several:,} images have several captions: the first of each is used")
        files = []
        for image in known:
            split, folder = KARPATHY_SPLITS[self.split][image.split], lies[image.folder]
            assert folder is not None
            at = f"{folder.relative_to(self.path).as_posix()}/{image.name}"
            text = one_of(image.captions, image.number, self.caption)
            files.append(ImageFile(f"{split}/{image.name}", self.path, 0, text, None, split, at))
        return Found(tuple(files), (read,), tuple(folders), tuple(remarks))

    def _folder(self, name: str) -> Path | None:
        return first_folder(self.path, (name, f"images/{name}"))
