"""Remarks on a source of images: files left out, files unused, folders that look like masks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ldmbench.sources.images.layout import HELD, Places, top_folder
from ldmbench.sources.images.members import ARCHIVES, PICTURES, SUFFIXES, Members, suffix_of
from ldmbench.sources.images.tables import Annotations

if TYPE_CHECKING:
    from ldmbench.sources.images.source import ImageFile

__all__ = [
    "both",
    "first_class",
    "instead",
    "latents_among",
    "masks",
    "may_tell",
    "not_listed",
    "numbered_folders",
    "orphans",
    "outside",
    "unused",
]

_NOTES = (".txt", ".caption", ".json", ".jsonl", ".md", ".csv", ".parquet", ".yaml", ".yml")
_MASKS = re.compile(
    r"(.*[^a-z])?(masks?|anno|annotations?|segmentations?|segmaps?|depth)([^a-z].*)?"
)
_TELLING = re.compile(
    r"(.*[-_])?(captions?|prompts?|metadata|labels?|annotations?|classes|class_to_idx|class_?names)"
    r"\.\w+"
)
_ABOUT = re.compile(r"(readme|licen[cs]e|notice|copyright|changelog|citation|requirements|version)")
"""Texts that tell of a source, not of an image."""
_LATENTS = re.compile(
    r"(^|/)(img-mean-std-\d+\.npy|latents?[-_].*\.(safetensors|npy|npz|pt)|latents_stats\.pt"
    r"|[^/]*_features/\d+\.npy)$",
    re.IGNORECASE,
)
_DIGITS = re.compile("[0-9]{1,9}")


def unused(files: Sequence[ImageFile], annotations: Annotations) -> Iterator[str]:
    """Say which images and captions are not used."""
    held = [file for file in files if file.split == HELD]
    if held:
        yield f"{len(held):,} images of {top_folder(held[0].name)}/ are held out and in no split"
    yield from outside(files)
    several = [texts for texts in annotations.captions.values() if len(texts) > 1]
    if several:
        more = sum(map(len, several)) - len(several)
        yield (
            f"{len(several):,} images have several captions: the first of each is used, and"
            f" {more:,} are not"
        )


def outside(files: Sequence[ImageFile]) -> Iterator[str]:
    """Say which images are in no split where others are training images."""
    found = [file for file in files if not file.split]
    if found and any(file.split == "train" for file in files):
        yield (
            f"{len(found):,} images lie outside the splits, such as {found[0].name}, and are not"
            " used"
        )


def first_class(labels: Collection[int]) -> Iterator[str]:
    """Say that classes which a file numbers do not begin at 0; they are used as they are."""
    found = [label for label in labels if label >= 0]
    if found and min(found) > 0:
        yield (
            f"no image is of class 0: classes {min(found)} to {max(found)} are used as they are, so"
            f" there are {max(found) + 1:,}"
        )


def masks(places: Places) -> Iterator[str]:
    """Warn of a folder whose name says masks, annotations or depth."""
    folders = sorted(set(places.folder.values()))
    found = [folder for folder in folders if _MASKS.fullmatch(folder.lower())]
    if found and len(folders) > 1:
        yield f"{found[0]}/ is read as a class of images; move it out if it holds masks or maps"


def orphans(beside: Mapping[str, Sequence[str]], used: Collection[str]) -> Iterator[str]:
    """Say how many files of captions have no image of their name beside them."""
    texts = [name for names in beside.values() for name in names]
    lone = [name for name in texts if name not in used and not may_tell(name)]
    lone = [name for name in lone if not _ABOUT.match(PurePosixPath(name).name.lower())]
    if lone:
        yield f"{len(lone):,} files of captions have no image, such as {lone[0]}"


def numbered_folders(row: Mapping[str, int]) -> Iterator[str]:
    """Say where the names of class folders are numbers, and not the classes."""
    wrong = [folder for folder in row if _DIGITS.fullmatch(folder) and int(folder) != row[folder]]
    if wrong and all(_DIGITS.fullmatch(folder) for folder in row):
        yield (
            f"class folders are numbers, but classes are the places of their names sorted as text:"
            f" {wrong[0]}/ is class {row[wrong[0]]}"
        )


def both(files: Sequence[ImageFile]) -> Iterator[str]:
    """Say how many images have a file of their caption beside one that a table tells."""
    found = [file for file in files if file.text and file.caption is not None]
    if found:
        yield (
            f"{len(found):,} images have a caption in a file of their own and in a table, such as"
            f" {found[0].name}: the file of their own is used"
        )


def not_listed(members: Members) -> Iterator[str]:
    """Say how many files were left out for their names."""
    hidden = [name for name in members.hidden if suffix_of(name) in SUFFIXES]
    if hidden:
        yield f"{len(hidden):,} images in hidden folders are left out, such as {hidden[0]}"
    bare = [name for name in members.at if PurePosixPath(name).name.lower() in SUFFIXES]
    if bare:
        yield f"{len(bare):,} files whose whole name is a suffix are left out, such as {bare[0]}"
    if members.foreign:
        yield (
            f"{len(members.foreign):,} files that macOS adds are left out, such as"
            f" {members.foreign[0]}"
        )


def may_tell(name: str) -> bool:
    """Tell files that could hold images, captions or classes from notes."""
    last = PurePosixPath(name).name.lower()
    if last.startswith("."):
        return False
    return not last.endswith(_NOTES) or bool(_TELLING.fullmatch(last)) or last.endswith(ARCHIVES)


def latents_among(names: Iterable[str]) -> str | None:
    """Say that files are latents, which no data set reads; None where none is.

    EDM2 and REPA keep mean and standard deviation in 00000/img-mean-std-00000000.npy, LightningDiT
    latents and flipped ones in latents_rank00_shard000.safetensors, fast-DiT features in
    imagenet256_features/0.npy.
    """
    for name in names:
        if _LATENTS.search(name):
            return (
                f"it holds latents, such as {name} (as EDM2, REPA, LightningDiT or fast-DiT encode"
                " them), and latents on disk are not read: give the images that they were made of;"
                " a suite encodes them by its first stage, once, and keeps them in the store"
            )
    return None


def instead(other: Sequence[str]) -> str:
    """Say what a source without images holds instead, and what to do."""
    if latents := latents_among(other):
        return latents
    for suffixes, advice in ((PICTURES, "save them in one of these"), (ARCHIVES, "unpack them")):
        found = [name for name in other if name.lower().endswith(suffixes)]
        if found:
            return (
                f"it holds {len(found)} {suffix_of(found[0])} files, such as {found[0]}, and only"
                f" {', '.join(SUFFIXES)} are read; {advice}"
            )
    return f"it may hold {', '.join(SUFFIXES)} files"
