"""The dataset kind `hdf5`: arrays of images and classes, as PyTorch-StudioGAN writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ldmbench.errors import InputError
from ldmbench.sources.images.disk import DiskImages, Found, Payload
from ldmbench.sources.images.source import ImageFile
from ldmbench.sources.kinds.shards import Rows, library, shards_at

__all__ = ["Hdf5Images", "open_hdf5"]

BATCH = 256
"""Images that are in memory at once, so that each chunk of a file is read seldom."""
_IMAGES, _LABELS = ("imgs", "images", "data"), "labels"
_SUFFIXES = (".hdf5", ".h5")


def open_hdf5(path: Path, options: Mapping[str, object]) -> Hdf5Images:
    """Return the images of HDF5 files."""
    return Hdf5Images(path)


@dataclass(frozen=True)
class Hdf5Images(DiskImages):
    """Rows of `imgs`, uint8 (N, S, S, 3), with `labels` (N,).

    Attributes:
        path: a file, or a folder of them; NAME_128_train.hdf5 and NAME_128_valid.hdf5 say the
            split.
    """

    def find(self) -> Found:
        """Read shapes and classes."""
        shards, folders = shards_at(self.path, _SUFFIXES, "HDF5 files, or a folder of them")
        rows, remarks = Rows(self.path, shards=shards), dict[str, None]()
        for shard in shards:
            with _reading(shard.file) as (images, labels, unread):
                numbers = None if labels is None else labels[:].tolist()
            remarks |= dict.fromkeys(unread)
            for row in range(images[0]):
                label = numbers[row] if numbers else None
                name = f"{shard.name}/{row:09d}"
                rows.add(name, (shard.file, row, 0), shard.split, label=label)
        return rows.found([shard.file for shard in shards], folders, list(remarks))

    def payloads(self, files: Sequence[ImageFile]) -> Iterator[Payload]:
        """Yield the rows, each batch of them in the order in which they lie in the file."""
        places = self.found().places
        for start in range(0, len(files), BATCH):
            batch = files[start : start + BATCH]
            lies = [places[file.name] for file in batch]
            order = sorted(range(len(batch)), key=lies.__getitem__)
            read: dict[int, Payload] = {}
            at = 0
            while at < len(order):
                file, end = places[batch[order[at]].name][0], at
                while end < len(order) and places[batch[order[end]].name][0] == file:
                    end += 1
                read |= self._rows(file, {i: places[batch[i].name][1] for i in order[at:end]})
                at = end
            yield from (read[i] for i in range(len(batch)))

    def _rows(self, file: Path, rows: Mapping[int, int]) -> Iterator[tuple[int, Payload]]:
        with library("h5py", f"{file}: an HDF5 file"):
            import h5py
        with h5py.File(file) as held:
            images = held[_images_name(held, file)]
            for i, row in rows.items():
                try:
                    yield i, np.asarray(images[row])
                except OSError as error:
                    yield i, InputError(f"{file}: row {row} is damaged ({error}); fetch it again")


@contextmanager
def _reading(file: Path) -> Iterator[tuple[tuple[int, ...], Any, list[str]]]:
    """Yield the shape of the images, the array of labels or None, and what is not read."""
    with library("h5py", f"{file}: an HDF5 file"):
        import h5py
    try:
        with h5py.File(file) as held:
            name = _images_name(held, file)
            images, labels = held[name], held.get(_LABELS)
            for array in (images, *([] if labels is None else [labels])):
                if not isinstance(array, h5py.Dataset):
                    raise InputError(f"{file}: {array.name[1:]} is a group, and no array")
            shape = tuple(images.shape)
            if images.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
                raise InputError(
                    f"{file}: {images.name[1:]} is {images.dtype} {shape}; images are uint8"
                    " (N, H, W, 3)"
                )
            if labels is not None and (
                labels.shape != shape[:1] or not np.issubdtype(labels.dtype, np.integer)
            ):
                raise InputError(
                    f"{file}: {_LABELS} is {labels.dtype} {labels.shape}; labels are one integer"
                    f" for each of the {shape[0]} images"
                )
            more = [other for other in held if other not in (name, _LABELS)]
            yield shape, labels, [f"{other} of {file.name} is not read" for other in more]
    except (OSError, KeyError) as error:
        raise InputError(
            f"{file}: not a readable HDF5 file ({error}); fetch or write it again"
        ) from None


def _images_name(held: Any, file: Path) -> str:
    found = [name for name in _IMAGES if name in held]
    if not found:
        there = ", ".join(held) or "nothing"
        raise InputError(f"{file}: no {' or '.join(_IMAGES)} in it, but {there}")
    return found[0]
