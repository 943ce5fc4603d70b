"""The dataset kind `lmdb`: folders of data.mdb whose values are encoded images, read-only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sources.images.disk import DiskImages, Found, Payload, some
from ldmbench.sources.images.source import ImageFile
from ldmbench.sources.kinds.shards import Rows, Shard, library, shards_at

__all__ = ["LmdbImages", "lmdb_entries", "lmdb_payloads", "open_lmdb"]

_DATA = "data.mdb"
_NOTES = ("length", "num-samples", "num_samples", "__len__", "__keys__")
"""Keys whose values count or name images."""
_SIZED = re.compile(r"(\d{2,4})-\d{5,}(\.\w+)?")
_MAGIC = ((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg"), (b"RIFF", ".webp"), (b"BM", ".bmp"))


def open_lmdb(path: Path, options: Mapping[str, object]) -> LmdbImages:
    """Return the images of lmdb folders."""
    return LmdbImages(path)


@dataclass(frozen=True)
class LmdbImages(DiskImages):
    """Images that are values of lmdb folders, in the order of their keys.

    Attributes:
        path: a folder with data.mdb, or a folder of such folders; train_lmdb and val_lmdb say the
            split.
    """

    def find(self) -> Found:
        """Read all keys."""
        shards, folders = lmdb_shards(self.path)
        rows, sizes, notes = Rows(self.path), set[str](), list[str]()
        for shard in shards:
            for key, suffix in lmdb_entries(shard.file, sniff=True):
                if not suffix and key in _NOTES:
                    notes.append(key)
                    continue
                if sized := _SIZED.fullmatch(key):
                    sizes.add(sized[1])
                name = f"{shard.name}/{key}{suffix}".removeprefix("./")
                rows.add(name, (shard.file, len(suffix), 0), shard.split)
        if len(sizes) > 1:
            raise InputError(
                f"{self.path}: keys begin with {' and '.join(sorted(sizes, key=int))}, which are"
                " the same images at several sizes; write an lmdb of one size"
            )
        said = [f"{len(notes):,} keys are no images: {some(sorted({*notes}))}"] if notes else []
        return rows.found([shard.file for shard in shards], folders, said)

    def payloads(self, files: Sequence[ImageFile]) -> Iterator[Payload]:
        """Yield the value of each image."""
        places = self.found().places
        wanted = []
        for file in files:
            data, suffix, _ = places[file.name]
            last = file.name.rpartition("/")[2]
            wanted.append((data, last[: len(last) - suffix] if suffix else last))
        return lmdb_payloads(wanted)


def lmdb_shards(path: Path) -> tuple[list[Shard], list[Path]]:
    """Return the data.mdb files below a path, called as their folders, and the folders."""
    there = path.parent if path.name == _DATA else path
    found, folders = shards_at(there, (_DATA,), "a folder with data.mdb and lock.mdb, or of such")
    shards = []
    for shard in found:
        folder = shard.name.rpartition("/")[0]
        name = folder or there.name
        shards.append(Shard(folder or ".", shard.file, lmdb_split(name)))
    return shards, folders


def lmdb_split(folder: str) -> str:
    """Return the split that the name of an lmdb folder says: church_outdoor_train_lmdb."""
    words = folder.rpartition("/")[2].lower().split("_")
    names = {"train": "train", "val": "validation", "valid": "validation", "test": "test"}
    return next((names[word] for word in reversed(words) if word in names), "")


def lmdb_entries(data: Path, *, sniff: bool = False) -> Iterator[tuple[str, str]]:
    """Yield each key as text (as hexadecimal digits where it is none) and a suffix or "".

    Args:
        data: a data.mdb.
        sniff: whether the first bytes of values say the suffix.

    Raises:
        InputError: it is cut off, or no lmdb.
    """
    with _reading(data) as transaction:
        for key, value in transaction.cursor():
            raw = bytes(key)
            text = raw.decode("ascii", errors="replace")
            name = text if text.isprintable() and "/" not in text and "\ufffd" not in text else ""
            start = bytes(value[:4]) if sniff else b""
            suffix = next((s for magic, s in _MAGIC if start.startswith(magic)), "")
            yield name or f"0x{raw.hex()}", suffix


def lmdb_payloads(wanted: Sequence[tuple[Path, str]]) -> Iterator[Payload]:
    """Yield the value of each key of `lmdb_entries`, one data.mdb open at a time."""
    at = 0
    while at < len(wanted):
        data, end = wanted[at][0], at
        while end < len(wanted) and wanted[end][0] == data:
            end += 1
        with _reading(data) as transaction:
            for _, name in wanted[at:end]:
                key = bytes.fromhex(name[2:]) if name.startswith("0x") else name.encode()
                value = transaction.get(key)
                yield (
                    bytes(value)
                    if value is not None
                    else InputError(f"{data}: no key {name}; it has changed, run again")
                )
        at = end


@contextmanager
def _reading(data: Path) -> Iterator[Any]:
    """Open a transaction that only reads; a file that is cut off would end the process."""
    with library("lmdb", f"{data}: an lmdb"):
        import lmdb
    try:
        environment = lmdb.open(
            str(data), subdir=False, readonly=True, lock=False, readahead=False, max_readers=1
        )
    except lmdb.Error as error:
        raise InputError(f"{data}: not a readable lmdb ({error}); fetch it again") from None
    try:
        info, stat = environment.info(), environment.stat()
        needed = (info["last_pgno"] + 1) * stat["psize"]
        size = data.stat().st_size
        if size < needed:
            raise InputError(
                f"{data}: {size:,} bytes, and its own table says {needed:,}; it is cut off: fetch"
                " it again"
            )
        with environment.begin(buffers=True) as transaction:
            yield transaction
    except lmdb.Error as error:
        raise InputError(f"{data}: damaged ({error}); fetch it again") from None
    finally:
        environment.close()
