"""Batches on disk, and memory-mapped reading across the folders they were written to.

A folder holds arrays (npy, little-endian, C order, no pickle) and captions (JSON). Shards are such
folders of `size` images each; shard k begins at image `first + k * size`. The last may be shorter.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ldmbench.canonical import canonical_json
from ldmbench.data.batch import Batch, Ints, Pixels
from ldmbench.errors import InputError, StoreError

__all__ = [
    "ArrayShards",
    "ImageShards",
    "files_allowed",
    "read_batch",
    "write_array",
    "write_batch",
]

Array: TypeAlias = npt.NDArray[Any]

OPEN = 64
"""Shards kept open at once, at least; as many more as a sixteenth of the files one may open."""
_PARTS = {"images": "|u1", "labels": "<i8", "boxes": "<f4", "box_labels": "<i8", "masks": "|u1"}


def write_batch(folder: Path, batch: Batch) -> None:
    """Write images, labels, captions, and boxes, box_labels and masks where there are any.

    Raises:
        StoreError: if the folder cannot be written.
    """
    for name, dtype in _PARTS.items():
        part = getattr(batch, name)
        if part is not None:
            write_array(folder / f"{name}.npy", part.astype(dtype, copy=False))
    try:
        (folder / "captions.json").write_text(canonical_json(batch.captions), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror or error})") from error


def write_array(file: Path, array: Array) -> None:
    """Write one array as npy, version 1.0, C order; the same array gives the same bytes.

    Raises:
        StoreError: if the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as out:
            rows = np.ascontiguousarray(array)
            np.lib.format.write_array_header_1_0(
                out, np.lib.format.header_data_from_array_1_0(rows)
            )
            out.write(rows.data)  # not by NumPy, which keeps to itself why the disk takes no more
    except OSError as error:
        raise StoreError(f"{file}: cannot be written ({error.strerror or error})") from error


def read_batch(folder: Path) -> Batch:
    """Read what `write_batch` wrote, into memory.

    Raises:
        StoreError: if a part is missing or damaged.
    """
    parts: dict[str, Array | None] = {}
    for name in _PARTS:
        file = folder / f"{name}.npy"
        needed = name in ("images", "labels")
        parts[name] = np.array(_open(file)) if needed or file.exists() else None
    try:
        return Batch(captions=_captions(folder), **parts)  # type: ignore[arg-type]
    except InputError as error:
        raise StoreError(f"{folder}: not a batch ({error})") from None


class ArrayShards:
    """Rows [start, stop) of one named array that lies in shards; nothing is read until asked for.

    Args:
        folders: the shards, in order.
        name: the file in each, "latents.npy".
        start: first row of this view, counted over all shards' images.
        stop: end of this view.
        first: the row at which the first folder begins.
        size: rows in each shard.

    Raises:
        InputError: if the folders do not cover [start, stop).
    """

    def __init__(
        self,
        folders: Sequence[Path],
        name: str,
        *,
        start: int,
        stop: int,
        first: int,
        size: int,
    ) -> None:
        if not first <= start <= stop <= first + size * len(folders):
            raise InputError(
                f"{len(folders)} shards of {size} from {first} do not cover [{start}, {stop}) "
                f"of {name}; give the shards that do"
            )
        self.folders, self.name = tuple(folders), name
        self.start, self.stop, self.first, self.size = start, stop, first, size
        self._maps: dict[int, Array] = {}

    def __len__(self) -> int:
        """Return the number of rows in view."""
        return self.stop - self.start

    def __getstate__(self) -> dict[str, object]:
        """Leave open files behind, so that a copy in another process opens its own."""
        return {**self.__dict__, "_maps": {}}

    def read(self, indices: Ints) -> Array:
        """Return the rows at `indices`, counted from the start of the view, in memory, C order.

        Raises:
            InputError: if an index is outside the view.
            StoreError: if a shard is missing, damaged, too short or unlike the others.
        """
        indices = np.asarray(indices, dtype=np.int64)
        if indices.size and not 0 <= indices.min() <= indices.max() < len(self):
            raise InputError(
                f"rows {indices.min()} to {indices.max()} of {self.name} are asked for; "
                f"there are rows 0 to {len(self) - 1}"
            )
        shard, row = np.divmod(indices + self.start - self.first, self.size)
        if not indices.size:
            shard_0 = self._shard((self.start - self.first) // self.size)
            return np.empty((0, *shard_0.shape[1:]), dtype=shard_0.dtype)
        out: Array | None = None
        for k in np.unique(shard):
            here = shard == k
            rows = self._rows(int(k), row[here])
            if out is None:
                out = np.empty((len(indices), *rows.shape[1:]), dtype=rows.dtype)
            if rows.shape[1:] != out.shape[1:] or rows.dtype != out.dtype:
                raise StoreError(
                    f"{self.folders[k] / self.name}: rows are {rows.dtype} {rows.shape[1:]}, other "
                    f"shards have {out.dtype} {out.shape[1:]}; remove it and run again"
                )
            out[here] = rows
        assert out is not None
        return out

    def all(self) -> Array:
        """Return all rows in view, in memory; raises as `read` does."""
        return self.read(np.arange(len(self)))

    def _rows(self, k: int, rows: Ints) -> Array:
        shard = self._shard(k)
        if rows.max() >= len(shard):
            raise StoreError(
                f"{self.folders[k] / self.name}: has {len(shard)} rows, row {rows.max()} is "
                "needed; remove it and run again"
            )
        found: Array = np.asarray(shard[rows])
        return found

    def _shard(self, k: int) -> Array:
        if k not in self._maps:
            while len(self._maps) >= max(OPEN, files_allowed() // 16):
                self._maps.pop(next(iter(self._maps)))
            self._maps[k] = _open(self.folders[k] / self.name)
        return self._maps[k]


class ImageShards:
    """Images [start, stop) with labels and captions, across shards written by `write_batch`.

    Arguments and errors are those of ArrayShards; all indices count from the start of the view.
    """

    def __init__(
        self, folders: Sequence[Path], *, start: int, stop: int, first: int, size: int
    ) -> None:
        self._images, self._labels = (
            ArrayShards(folders, name, start=start, stop=stop, first=first, size=size)
            for name in ("images.npy", "labels.npy")
        )
        self._texts: dict[int, tuple[str, ...]] = {}

    def __len__(self) -> int:
        """Return the number of images in view."""
        return len(self._images)

    def images(self, indices: Ints) -> Pixels:
        """Return images, uint8 NHWC."""
        return self._images.read(indices)

    def labels(self, indices: Ints) -> Ints:
        """Return class labels, int64 (n,)."""
        return self._labels.read(indices)

    def captions(self, indices: Ints) -> tuple[str, ...]:
        """Return one caption per index."""
        view = self._images
        if len(indices) and not 0 <= min(indices) <= max(indices) < len(view):
            raise InputError(
                f"captions {min(indices)} to {max(indices)} are asked for; "
                f"there are 0 to {len(view) - 1}"
            )
        places = (divmod(int(i) + view.start - view.first, view.size) for i in indices)
        return tuple(self._shard_captions(k)[row] for k, row in places)

    def _shard_captions(self, k: int) -> tuple[str, ...]:
        if k not in self._texts:
            folder = self._images.folders[k]
            found = _captions(folder)
            if len(found) != len(self._images._shard(k)):
                raise StoreError(
                    f"{folder}: {len(found)} captions for {len(self._images._shard(k))} images; "
                    "remove it and run again"
                )
            self._texts[k] = found
        return self._texts[k]


def files_allowed(*, most: bool = False) -> int:
    """Return how many files this process may open; `most` raises that as far as it may, to 65,536.

    1,024 where the system does not tell.
    """
    try:
        import resource  # not on Windows
    except ImportError:
        return 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = resource.RLIM_INFINITY
    if most and endless != soft < 65_536:
        wanted = 65_536 if hard == endless else min(hard, 65_536)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return 65_536 if soft == endless else min(soft, 65_536)


def _open(file: Path) -> Array:
    try:
        array: Array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(
            f"{file}: cannot be read ({error}); remove its folder and run again"
        ) from None
    return array


def _captions(folder: Path) -> tuple[str, ...]:
    file = folder / "captions.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise ValueError("not a list of texts")
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{file}: cannot be read ({error}); remove its folder and run again"
        ) from None
    return tuple(found)
