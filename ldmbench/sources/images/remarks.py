"""Remarks on a source of images: files left out, files unused, folders that look like masks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ldmbench.sources.images.layout import HELD, Places, top_folder
from ldmbench.sources.images.members import ARCHIVES, PICTURES, SUFFIXES, Members, suffix_of
from ldmbench.sources.images.tables import Annotations

if TYPE_CHECKING:
    from ldmbench.sources.images.source import ImageFile

__all__ = ["instead", "masks", "may_tell", "not_listed", "orphans", "unused"]

_NOTES = (".txt", ".caption", ".json", ".jsonl", ".md", ".csv", ".parquet", ".yaml", ".yml")
_MASKS = re.compile(
    r"(.*[^a-z])?(masks?|anno|annotations?|segmentations?|segmaps?|depth)([^a-z].*)?"
)
_TELLING = re.compile(r"(captions?|prompts?|metadata|labels?|annotations?)\.\w+")


def unused(files: Sequence[ImageFile], annotations: Annotations) -> Iterator[str]:
    """Say which images and captions are not used."""
    held = [file for file in files if file.split == HELD]
    if held:
        yield f"{len(held):,} images of {top_folder(held[0].name)}/ are held out and in no split"
    outside = [file for file in files if not file.split]
    if outside and any(file.split == "train" for file in files):
        yield f"{len(outside):,} images lie outside the splits, such as {outside[0].name}"
    several = [texts for texts in annotations.captions.values() if len(texts) > 1]
    if several:
        more = sum(map(len, several)) - len(several)
        yield (
            f"{len(several):,} images have several captions: the first of each is used, and"
            f" {more:,} are not"
        )


def masks(places: Places) -> Iterator[str]:
    """Warn of a folder whose name says masks, annotations or depth."""
    folders = sorted(set(places.folder.values()))
    found = [folder for folder in folders if _MASKS.fullmatch(folder.lower())]
    if found and len(folders) > 1:
        yield f"{found[0]}/ is read as a class of images; move it out if it holds masks or maps"


def orphans(beside: Mapping[str, Sequence[str]], used: Collection[str]) -> Iterator[str]:
    """Say how many files of captions have no image, where others have one."""
    texts = [name for names in beside.values() for name in names]
    lone = [name for name in texts if name not in used and not may_tell(name)]
    if lone and len(lone) < len(texts):
        yield f"{len(lone):,} files of captions have no image, such as {lone[0]}"


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


def instead(other: Sequence[str]) -> str:
    """Say what a source without images holds instead, and what to do."""
    for suffixes, advice in ((PICTURES, "save them in one of these"), (ARCHIVES, "unpack them")):
        found = [name for name in other if name.lower().endswith(suffixes)]
        if found:
            return (
                f"it holds {len(found)} {suffix_of(found[0])} files, such as {found[0]}, and only"
                f" {', '.join(SUFFIXES)} are read; {advice}"
            )
    return f"it may hold {', '.join(SUFFIXES)} files"
