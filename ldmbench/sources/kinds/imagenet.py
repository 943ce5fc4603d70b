"""The dataset kind `imagenet`: ILSVRC2012 as a tree, by file prefixes, or as a zip of EDM."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from ldmbench.catalog.datasets import DATASETS
from ldmbench.errors import InputError
from ldmbench.sources.images.disk import Found, some
from ldmbench.sources.images.layout import split_of
from ldmbench.sources.images.rows import text_of
from ldmbench.sources.images.source import ImageFile, Listing, Source, classes_of
from ldmbench.sources.kinds.packed import EdmZip
from ldmbench.sources.kinds.tree import NamedImages, Tree, lines_in, tree_at

__all__ = ["ImageNet", "open_imagenet", "synsets"]

CLASSES = 1000
_SYNSET = re.compile(r"n\d{8}")
_TRAIN = re.compile(r"(n\d{8})_\d+\.jpe?g", re.IGNORECASE)
_VAL = re.compile(r"ILSVRC2012_val_\d{8}\.jpe?g", re.IGNORECASE)
_TEST = re.compile(r"ILSVRC2012_test_\d{8}\.jpe?g", re.IGNORECASE)
_PAIRS, _TRUTH, _META, _KAGGLE = (
    "validation_synset.txt",
    "ILSVRC2012_validation_ground_truth.txt",
    "meta.mat",
    "LOC_val_solution.csv",
)


def open_imagenet(path: Path, options: Mapping[str, Any]) -> Source:
    """Return ILSVRC2012; a zip, or a folder with dataset.json, is read as EDM's."""
    if path.is_file() or (path / "dataset.json").is_file():
        return ImageNetZip(path)
    return ImageNet(path, "imagenet", options.get("limit"))


@cache
def synsets() -> Mapping[str, int]:
    """Return WordNet id -> class, 0 to 999: the 1,000 ids of ILSVRC2012 sorted as text."""
    text = (resources("ldmbench.sources.kinds") / "imagenet_synsets.txt").read_text("ascii")
    return {name: number for number, name in enumerate(text.split())}


@dataclass(frozen=True)
class ImageNetZip(EdmZip):
    """ILSVRC2012 of dataset_tool.py: classes are the numbers of its dataset.json."""

    def listing(self) -> Listing:
        """Return what it holds, and that a part of the classes or images is not there."""
        listing, counts = super().listing(), DATASETS["imagenet"].counts
        classes, count = classes_of(listing.files), len(listing.files)
        if classes > CLASSES:
            raise InputError(
                f"{self.path}: its dataset.json has class {classes - 1}, and imagenet has {CLASSES}"
                " classes, from 0"
            )
        full = counts["train"]
        if count in counts.values():
            return listing
        part = f"{count:,} of the {full:,} train images of imagenet are here: a part"
        return replace(listing, remarks=(*listing.remarks, part))


@dataclass(frozen=True)
class ImageNet(NamedImages):
    """ILSVRC2012 as files: train/WNID/*.JPEG, val/ by folders or flat, of Kaggle or CompVis too.

    The class of an image is the place of its WordNet id among the 1,000 sorted ids: the id is its
    folder, or the file's name up to the first "_", as in guided-diffusion; of a flat validation
    split a file of the devkit, of CompVis or of Kaggle says it.
    """

    @property
    def cmyk(self) -> bool:
        """22 training images are CMYK; the papers' loaders convert them by Pillow."""
        return True

    def look(self) -> Found:
        """Look at names, and at the file of validation classes."""
        tree = tree_at(self.path)
        truth, read = self._truth(tree)
        files: list[ImageFile] = []
        strange: list[str] = []
        for at in tree.with_suffix(".jpeg", ".jpg", ".png"):
            *folders, last = at.split("/")
            split = _split(folders, last)
            synset = next((f for f in reversed(folders) if _SYNSET.fullmatch(f)), None)
            prefix = _TRAIN.fullmatch(last)
            if synset and prefix and prefix[1] != synset:
                raise InputError(
                    f"{self.path}/{at}: its folder is {synset} and its name says {prefix[1]}; put"
                    " it into the folder of its WordNet id"
                )
            synset = synset or (prefix[1] if prefix else None)
            if split == "validation":
                said = truth.get(last.rpartition(".")[0])
                if synset and said and said != synset:
                    raise InputError(
                        f"{self.path}/{at}: its folder is {synset} and {read[0].name} says {said};"
                        " keep one of them"
                    )
                synset = synset or said
            if synset is not None and synset not in synsets():
                strange.append(at)
            label = synsets().get(synset or "", -1)
            name = f"{split or 'train'}/{last}" if split == "validation" else at
            if split == "train":
                name = f"train/{synset}/{last}" if synset else f"train/{at}"
            files.append(ImageFile(name, self.path, label, None, None, split, at))
        if strange:
            raise InputError(
                f"{self.path}: {len(strange):,} images are of synsets that are none of the"
                f" {CLASSES:,} of ILSVRC2012, such as {some(strange)}; kind: folder reads others"
            )
        _refuse_same(self.path, files)
        remarks = tuple(_remarks(files))
        return Found(tuple(files), read, tree.folders, remarks, pictures=tree.pictures)

    def _truth(self, tree: Tree) -> tuple[Mapping[str, str], tuple[Path, ...]]:
        """Return validation image, without suffix -> WordNet id, and the files that say so."""
        lies = {name.rpartition("/")[2]: self.path / name for name in tree.names}
        if _PAIRS in lies:
            pairs = [line.split() for line in lines_in(lies[_PAIRS])]
            if any(len(pair) != 2 for pair in pairs):
                raise InputError(f"{lies[_PAIRS]}: each line is a file's name and its WordNet id")
            found = {f.rpartition(".")[0]: synset for f, synset in pairs}
            if len({*map(tuple, pairs)}) > len(found):
                raise InputError(f"{lies[_PAIRS]}: a file has two WordNet ids; fetch it again")
            return found, (lies[_PAIRS],)
        if _KAGGLE in lies:
            table = csv.DictReader(
                io.StringIO(text_of(lies[_KAGGLE].read_bytes(), str(lies[_KAGGLE])))
            )
            try:
                found = {row["ImageId"]: row["PredictionString"].split()[0] for row in table}
            except (KeyError, IndexError, AttributeError, csv.Error):
                raise InputError(
                    f"{lies[_KAGGLE]}: not rows of ImageId and PredictionString; fetch it again"
                ) from None
            return found, (lies[_KAGGLE],)
        if _TRUTH in lies and _META in lies:
            return _devkit(lies[_TRUTH], lies[_META]), (lies[_TRUTH], lies[_META])
        if _TRUTH in lies:
            raise InputError(
                f"{lies[_TRUTH]}: its numbers are ILSVRC2012_IDs, which {_META} of the devkit maps"
                f" to classes, and {_META} is not there; put the devkit's data/ there whole"
            )
        return {}, ()


def _split(folders: list[str], last: str) -> str:
    """Return the split of an image by its name, else by a folder above it."""
    if _VAL.fullmatch(last):
        return "validation"
    if _TEST.fullmatch(last):
        return "test"
    words = (re.sub("^ILSVRC2012_(img_)?", "", folder) for folder in folders)
    return next((split for word in words if (split := split_of(word))), "")


def _devkit(truth: Path, meta: Path) -> dict[str, str]:
    """Return validation image -> WordNet id by the devkit, whose numbers are not sorted."""
    from scipy.io import loadmat

    try:
        rows = loadmat(meta, squeeze_me=True)["synsets"]
        known = {int(row[0]): str(row[1]) for row in rows if int(row[4]) == 0}
        numbers = [int(line) for line in lines_in(truth)]
        return {f"ILSVRC2012_val_{i:08d}": known[n] for i, n in enumerate(numbers, start=1)}
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"{meta}: not the synsets of the devkit, or {truth.name} not numbers of them ({error});"
            " fetch ILSVRC2012_devkit_t12 again"
        ) from None


def _refuse_same(path: Path, files: list[ImageFile]) -> None:
    seen: dict[str, str] = {}
    for file in files:
        if file.name in seen:
            raise InputError(
                f"{path}: {seen[file.name]} and {file.at} are one image; name the folder of one"
            )
        seen[file.name] = file.at


def _remarks(files: list[ImageFile]) -> list[str]:
    said = []
    labels = {file.label for file in files if file.split in ("", "train") and file.label >= 0}
    if 0 < len(labels) < CLASSES:
        said.append(
            f"training images of {len(labels):,} of {CLASSES:,} classes are here; classes keep"
            " their numbers of 0 to 999"
        )
    lost = [file for file in files if file.label < 0 and file.split in ("", "train")]
    if lost:
        said.append(
            f"{len(lost):,} training images have no class, such as {lost[0].at}: neither a folder"
            " nor the beginning of the name is a WordNet id (n01440764)"
        )
    bare = [file for file in files if file.label < 0 and file.split == "validation"]
    if bare:
        said.append(
            f"{len(bare):,} images have no class, such as {bare[0].at}; {_PAIRS}, {_KAGGLE}, or"
            f" {_TRUTH} with {_META}, says those of a flat validation split"
        )
    bad = [file.at for file in files if file.at.rpartition("/")[2] in DATASETS["imagenet"].bad]
    if bad:
        said.append(
            f"{len(bad):,} images are known to be CMYK, or PNG, and are converted by Pillow as in"
            f" the papers' loaders, such as {bad[0]}"
        )
    return said
