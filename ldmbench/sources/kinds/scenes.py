"""The dataset kinds `ade20k` and `landscapes`: images with a map of classes each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sources.images.disk import Found, some
from ldmbench.sources.images.layout import split_of
from ldmbench.sources.images.members import SUFFIXES, spelled
from ldmbench.sources.images.source import ImageFile, RegionFacts
from ldmbench.sources.kinds.map_names import ADE20K, COCO_STUFF
from ldmbench.sources.kinds.tree import NamedImages, lines_in, refuse_missing, tree_at

__all__ = ["Ade20k", "Landscapes", "open_ade20k", "open_landscapes"]

_SCENES = "sceneCategories.txt"
_TOPS = (("images", "annotations"), ("images", "segmentations"), ("images", "maps"))
"""Folders of images and of their maps; else maps lie beside the images."""


def open_ade20k(path: Path, options: Mapping[str, Any]) -> Ade20k:
    """Return ADE20K; the fields of Ade20kData are options."""
    return Ade20k(path, "ade20k", options.get("limit"))


def open_landscapes(path: Path, options: Mapping[str, Any]) -> Landscapes:
    """Return images with maps of taming-transformers' S-FLCKR form."""
    return Landscapes(path, "landscapes", options.get("limit"))


@dataclass(frozen=True)
class Ade20k(NamedImages):
    """ADEChallengeData2016: images/training/*.jpg, annotations/training/*.png, sceneCategories.txt.

    A pixel of value 0 is of no class, 1 to 150 of class 0 to 149.
    """

    def look(self) -> Found:
        """Look at names, and at the scenes of images."""
        tree = tree_at(self.path)
        inside = [name for name in tree.pictures if "/images/" in f"/{name}"]
        there, maps, files, lost = {*tree.names}, dict[str, str](), list[ImageFile](), list[str]()
        for at in inside:
            before, _, rest = f"/{at}".rpartition("/images/")
            folder, _, last = rest.rpartition("/")
            split = split_of(folder.partition("/")[0])
            name = f"{split or 'train'}/{last}"
            beside = f"{before}/annotations/{rest.rpartition('.')[0]}.png".lstrip("/")
            if beside in there:
                maps[name] = beside
            else:
                lost.append(at)
            files.append(ImageFile(name, self.path, 0, None, None, split, at))
        if not files:
            raise InputError(
                f"{self.path}: no images/training/*.jpg in it; allowed: ADEChallengeData2016"
            )
        _refuse_mapless(self.path, lost, "annotations/training/ADE_train_00000001.png")
        scenes, read, remarks = self._scenes({name.rpartition("/")[2]: name for name in there})
        files = [_labelled(file, scenes) for file in files] if scenes else files
        bare = [file.at for file in files if file.label < 0]
        if bare:
            remarks.append(f"{len(bare):,} images are not in {_SCENES}, such as {bare[0]}")
        facts = RegionFacts(len(ADE20K), len(ADE20K), maps=True, names=ADE20K)
        return Found(
            tuple(files),
            read,
            tree.folders,
            tuple(remarks),
            regions=facts,
            maps=maps,
            shift=0,
            pictures=tree.pictures,
        )

    def _scenes(
        self, lies: Mapping[str, str]
    ) -> tuple[dict[str, int], tuple[Path, ...], list[str]]:
        """Return image -> the number of its scene, by their sorted names."""
        if _SCENES not in lies:
            return {}, (), [f"{_SCENES} is not here, so images have no scene as their class"]
        file = self.path / lies[_SCENES]
        rows = [line.split() for line in lines_in(file)]
        if not all(len(row) == 2 for row in rows):
            raise InputError(f"{file}: each line is an image and its scene: ADE_val_00000001 bar")
        names = {name: number for number, name in enumerate(sorted({row[1] for row in rows}))}
        return {row[0]: names[row[1]] for row in rows}, (file,), []


@dataclass(frozen=True)
class Landscapes(NamedImages):
    """Images and maps of one name: a.jpg and a.png beside it, or in images/ and segmentations/.

    A pixel of value 0 to 181 is of that class (COCO-Stuff, by DeepLab v2), 255 of none. Lists
    train.txt and validation.txt, an image a line, say the split; else train/ and val/ folders.
    """

    def look(self) -> Found:
        """Look at names and at the lists."""
        tree = tree_at(self.path)
        there = {_bare(name): name for name in tree.names}
        maps, files, lost = dict[str, str](), list[ImageFile](), list[str]()
        splits, read, remarks = self._lists(tree.names)
        for at in tree.pictures:
            if self._is_map(at, there):
                continue
            stem = at.rpartition(".")[0]
            beside = [f"{stem}.png", *(f"{_moved(stem, *pair)}.png" for pair in _TOPS)]
            known = [there[name] for name in beside if name in there]
            found = next((name for name in known if name != at), None)
            split = splits.get(spelled(at), "") or next(
                filter(None, map(split_of, at.split("/")[:-1])), ""
            )
            if splits and spelled(at) not in splits:
                continue
            if found is None:
                lost.append(at)
                continue
            maps[at] = found
            files.append(ImageFile(at, self.path, 0, None, None, split, at))
        _refuse_mapless(self.path, lost, "a.png beside a.jpg, or segmentations/a.png")
        if splits:
            wanted, known = [*splits], [spelled(file.at) for file in files]
            remarks += refuse_missing(self.path, "its lists", wanted, known)
        facts = RegionFacts(len(COCO_STUFF), len(COCO_STUFF), maps=True, names=COCO_STUFF)
        return Found(
            tuple(files),
            read,
            tree.folders,
            tuple(remarks),
            regions=facts,
            maps=maps,
            shift=1,
            pictures=[at for at in tree.pictures if not self._is_map(at, there)],
        )

    def _is_map(self, at: str, there: Mapping[str, str]) -> bool:
        """Tell a map: a PNG beside an image of its name, or in a folder of maps."""
        if not at.lower().endswith(".png"):
            return False
        stem = at.rpartition(".")[0]
        others = [suffix for suffix in SUFFIXES if suffix != ".png"]
        folders = at.split("/")[:-1]
        return any(f"{stem}{suffix}" in there for suffix in others) or any(
            maps in folders for _, maps in _TOPS
        )

    def _lists(self, there: Sequence[str]) -> tuple[dict[str, str], tuple[Path, ...], list[str]]:
        """Return image -> split of the lists that are there, as `spelled` has names."""
        found: dict[str, str] = {}
        read = []
        for name in sorted(name for name in there if name.endswith(".txt") and "/" not in name):
            split = split_of(name.removesuffix(".txt").rpartition("_")[2])
            if split:
                read.append(self.path / name)
                listed = [spelled(line) for line in lines_in(self.path / name)]
                twice = [line for line in listed if found.get(line, split) != split]
                if twice:
                    raise InputError(
                        f"{self.path / name}: {twice[0]} is of the split {found[twice[0]]} in"
                        " another list; keep it in one of them"
                    )
                found |= dict.fromkeys(listed, split)
        return found, tuple(read), []


def _bare(name: str) -> str:
    """Return a name with its suffix in lower case."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}{dot}{suffix.lower()}"


def _moved(stem: str, old: str, new: str) -> str:
    """Return a name with its last folder `old` called `new`."""
    before, mid, after = f"/{stem}".rpartition(f"/{old}/")
    return f"{before}/{new}/{after}".lstrip("/") if mid else stem


def _labelled(file: ImageFile, scenes: Mapping[str, int]) -> ImageFile:
    stem = Path(file.name).stem
    label = scenes.get(stem, -1)
    return ImageFile(file.name, file.source, label, None, None, file.split, file.at)


def _refuse_mapless(path: Path, lost: list[str], where: str) -> None:
    if lost:
        raise InputError(
            f"{path}: {len(lost):,} images have no map, such as {some(lost)}; a map is {where}"
        )
