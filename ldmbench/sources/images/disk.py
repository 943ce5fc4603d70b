"""What kinds of data sets on disk share: each says what there is and yields bytes of images.

Listed anew only if a file or folder changed; digests and sizes of pictures are remembered; of the
contents no more than one image is in memory, or what a kind says.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ldmbench.canonical import Stamp, canonical_json, digest, digest_bytes, stamp_of
from ldmbench.errors import InputError
from ldmbench.sources.digests import file_digests
from ldmbench.sources.images.decode import decode, size_of
from ldmbench.sources.images.inspection import (
    DECODED,
    refuse_unusable,
    unfit_sizes,
    whole_split,
)
from ldmbench.sources.images.listing import LOSSY, refuse_classes
from ldmbench.sources.images.maps import map_of, refuse_values
from ldmbench.sources.images.members import walk
from ldmbench.sources.images.remarks import latents_among, outside
from ldmbench.sources.images.source import (
    ImageFile,
    Inspection,
    Listing,
    Pixels,
    RegionFacts,
    Regions,
)
from ldmbench.sources.remembered import Found as Known
from ldmbench.sources.remembered import Remembered, Size, is_settled, remembered_at

__all__ = ["DiskImages", "Found", "Payload", "Place", "some"]

Payload: TypeAlias = bytes | Pixels | InputError
"""An image as it is stored: the bytes of a picture, its pixels, or why it cannot be read."""
Place: TypeAlias = tuple[Path, int, int]
"""The file on disk that holds an image, and two numbers that say where in it."""

_MOST_KNOWN = 4
_KNOWN: dict[DiskImages, tuple[dict[Path, Stamp | None], Found]] = {}


@dataclass(frozen=True)
class Found:
    """What lies at a place.

    Attributes:
        files: the images.
        read: files that hold many images, or tell of them.
        watched: files and folders: while their stamps stay, so does all this.
        remarks: what is to be said of it, each counted.
        places: name of an image -> where it lies, where `read` hold the images.
        regions: what is known of boxes or maps.
        boxes: of images, where they have any.
        maps: name of an image -> where its map of classes lies, relative to the path.
        shift: added to a map's values, modulo 256, so that 0 is no class and 1 + c is class c.
        pictures: names of pictures that were seen; those that are no image and no map are counted.
    """

    files: tuple[ImageFile, ...]
    read: tuple[Path, ...]
    watched: tuple[Path, ...] = ()
    remarks: tuple[str, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict)
    regions: RegionFacts | None = None
    boxes: Mapping[str, Regions] = field(default_factory=dict)
    maps: Mapping[str, str] = field(default_factory=dict)
    shift: int = 0
    pictures: Sequence[str] = ()

    @property
    def unused(self) -> tuple[str, ...]:
        """The pictures that are no image and no map."""
        used = {file.at for file in self.files} | {*self.maps.values()}
        return tuple(name for name in self.pictures if name not in used)


@dataclass(frozen=True)
class DiskImages(ABC):
    """A data set at a path; methods as `Source`. A kind adds `find` and `payloads`.

    Attributes:
        path: where it lies.
    """

    path: Path

    @abstractmethod
    def find(self) -> Found:
        """Look at what lies there, without opening a picture.

        Raises:
            InputError: it is not what the kind expects.
        """

    @abstractmethod
    def payloads(self, files: Sequence[ImageFile]) -> Iterator[Payload]:
        """Yield each image as it is stored, in order."""

    @property
    def cmyk(self) -> bool:
        """Whether CMYK pictures are converted, as the papers' loaders do."""
        return False

    def found(self) -> Found:
        """Return what `find` finds; a process looks again only if something changed."""
        known = _KNOWN.get(self)
        if known and all(_stamp(file) == stamp for file, stamp in known[0].items()):
            return known[1]
        found = self.find()
        if not found.files:
            why = latents_among(walk(self.path, {})) if self.path.is_dir() else None
            raise InputError(f"{self.path}: no image in it; {why or 'check data.path'}")
        refuse_classes(self.path, found.files)
        found = replace(found, remarks=(*found.remarks, *outside(found.files)))
        stamps = {file: _stamp(file) for file in (*found.read, *found.watched)}
        _KNOWN.pop(self, None)
        if self.path.is_absolute() and all(s and is_settled(s) for s in stamps.values()):
            while len(_KNOWN) >= _MOST_KNOWN:
                _KNOWN.pop(next(iter(_KNOWN)))
            _KNOWN[self] = stamps, found
        return found

    def listing(self) -> Listing:
        """Return what it holds."""
        found = self.found()
        return Listing(found.files, remarks=found.remarks, plain=False, regions=found.regions)

    def digest(self, cache: Path | None) -> str:
        """Return the sha256 of files, and of splits, classes and captions made of them."""
        found = self.found()
        held = file_digests(sorted(self._all(found)), cache)
        images = hashlib.sha256()
        for f in found.files:
            images.update(canonical_json([f.name, f.split, f.label, f.caption]).encode())
        files = {self.relative(file): sha for file, sha in held.items()}
        return digest({"files": files, "images": images.hexdigest()})

    def check(self, cache: Path | None, *, resolution: int, crop: str, upscale: bool) -> None:
        """Refuse images that a run could not use."""
        found, known = self.found(), remembered_at(cache)
        problems: list[str] = []
        sizes = list(self._sizes(found, known, problems))
        problems += unfit_sizes(
            ((file.where, size) for file, size in sizes),
            resolution=resolution,
            crop=crop,
            upscale=upscale,
        )
        problems += self._misfits(found, sizes, known)
        known.save()
        refuse_unusable(self.path, len(found.files), problems)

    def inspect(self) -> Inspection:
        """Decode every image and say what is there, as `inspect_images`.

        Raises:
            InputError: it is not what the kind expects, or holds several splits.
        """
        found = self.found()
        result = Inspection(
            names=tuple(file.name for file in found.files),
            lossy=sum(file.name.lower().endswith(LOSSY) for file in found.files),
            captions=sum(file.caption is not None for file in found.files),
            remarks=found.remarks,
            split=whole_split(self.path, found.files),
        )
        for file, payload in zip(found.files, self.payloads(found.files), strict=True):
            try:
                width, height = self._size(file, payload, whole=True)
            except InputError as error:
                result.problems.append(str(error))
                continue
            data = payload if isinstance(payload, bytes) else np.asarray(payload).tobytes()
            result.digests[file.name] = digest_bytes(data)
            result.sizes[width, height] += 1
        return result

    def states(self, files: Sequence[ImageFile]) -> dict[str, Stamp | None]:
        """Return the stamps of the files on disk that hold images."""
        found = self.found()
        return {self.relative(file): _stamp(file) for file in self._all(found, files)}

    def captions(self, files: Sequence[ImageFile]) -> tuple[str, ...] | None:
        """Return the caption of each image."""
        if all(file.caption is None for file in files):
            return None
        return tuple(file.caption or "" for file in files)

    def pictures(self, files: Sequence[ImageFile]) -> Iterator[Pixels]:
        """Yield uint8 HWC for each image."""
        for file, payload in zip(files, self.payloads(files), strict=True):
            if isinstance(payload, InputError):
                raise payload
            if isinstance(payload, bytes):
                yield decode(payload, file.where, cmyk=self.cmyk)
            else:
                yield payload

    def regions(self, files: Sequence[ImageFile]) -> Iterator[Regions]:
        """Yield the boxes or the map of each image."""
        found = self.found()
        none = Regions(np.empty((0, 4)), np.empty(0, np.int64))
        for file in files:
            at = found.maps.get(file.name)
            if at is None or found.regions is None:
                yield found.boxes.get(file.name, none)
            else:
                where = f"{self.path}/{at}"
                values = map_of(self.path / at, where)
                refuse_values(values, where, found.regions.classes, found.shift)
                yield Regions(none.boxes, none.labels, values + np.uint8(found.shift))

    def relative(self, file: Path) -> str:
        """Return what a file is called in the data set."""
        inside = file != self.path and file.is_relative_to(self.path)
        return file.relative_to(self.path).as_posix() if inside else file.name

    def _all(self, found: Found, files: Sequence[ImageFile] | None = None) -> set[Path]:
        """Return the files on disk that images are made of, and those that tell of them."""
        wanted = found.files if files is None else files
        maps = {self.path / found.maps[f.name] for f in wanted if f.name in found.maps}
        return {*self._holders(found, wanted).values(), *found.read, *maps}

    def _misfits(
        self, found: Found, sizes: Sequence[tuple[ImageFile, Size]], known: Remembered
    ) -> list[str]:
        """Return a sentence for each map that is not of its image's size, or no map."""
        problems = []
        count = found.regions.classes if found.regions else 0
        key = f"map of {count} classes, shifted by {found.shift}"
        for file, size in sizes:
            if file.name not in found.maps:
                continue
            at = self.path / found.maps[file.name]
            try:
                row = known.of(at)
                if key not in row.sizes:
                    values = map_of(at, str(at))
                    refuse_values(values, str(at), count, found.shift)
                    known.learn(row, sizes={key: values.shape[1::-1]})
            except InputError as error:
                problems.append(str(error))
                continue
            if row.sizes[key] != size:
                (width, height), (w, h) = row.sizes[key], size
                problems.append(
                    f"{at}: a map of {width} x {height} pixels, and its image is {w} x {h}; replace"
                    " one of them"
                )
        return problems

    def _holders(self, found: Found, files: Sequence[ImageFile] | None = None) -> dict[str, Path]:
        """Return name -> the file on disk that holds an image."""
        wanted = found.files if files is None else files
        if found.places:
            return {file.name: found.places[file.name][0] for file in wanted}
        return {file.name: self.path / file.at for file in wanted}

    def _sizes(
        self, found: Found, known: Remembered, problems: list[str]
    ) -> Iterator[tuple[ImageFile, Size]]:
        """Yield each image that can be read, with its width and height."""
        holders = self._holders(found)
        rows: dict[Path, Known] = {}
        for holder in sorted(set(holders.values())):
            try:
                rows[holder] = known.of(holder)
            except InputError as error:
                problems.append(str(error))
        inside = {f: f.name if found.places else "" for f in found.files if holders[f.name] in rows}
        fresh = [f for f, key in inside.items() if key not in rows[holders[f.name]].sizes]
        whole = sum(rows[at].stamp[2] for at in {holders[f.name] for f in fresh}) <= DECODED
        for file, payload in zip(fresh, self.payloads(fresh), strict=True):
            try:
                size = self._size(file, payload, whole=whole)
            except InputError as error:
                problems.append(str(error))
                continue
            known.learn(rows[holders[file.name]], sizes={inside[file]: size})
        for file, key in inside.items():
            if key in rows[holders[file.name]].sizes:
                yield file, rows[holders[file.name]].sizes[key]

    def _size(self, file: ImageFile, payload: Payload, *, whole: bool) -> Size:
        if isinstance(payload, InputError):
            raise payload
        if isinstance(payload, bytes):
            return size_of(payload, file.where, whole=whole, cmyk=self.cmyk)
        return payload.shape[1], payload.shape[0]


def some(names: Sequence[str], most: int = 3) -> str:
    """Return the first names of a long list: 'a, b, c'."""
    return ", ".join(names[:most])


def _stamp(file: Path) -> Stamp | None:
    try:
        return stamp_of(file.stat())
    except OSError:
        return None
