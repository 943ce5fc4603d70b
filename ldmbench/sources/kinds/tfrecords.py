"""The dataset kind `tfrecords`: images of progressive GAN and StyleGAN, read without TensorFlow.

A record is a length, its sum, a message of protocol buffers and its sum (masked CRC-32C). The
message is a tf.train.Example with `shape`, int64 (channels, height, width), and `data`, raw bytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ldmbench.errors import InputError
from ldmbench.sources.images.disk import DiskImages, Found, Payload
from ldmbench.sources.images.source import ImageFile, Pixels
from ldmbench.sources.kinds.crc32c import crc32c, masked
from ldmbench.sources.kinds.shards import Rows, Shard, shards_at

__all__ = ["TfRecords", "open_tfrecords"]

_WHAT = "TFRecord files of progressive GAN or StyleGAN, such as celebahq-r08.tfrecords"
_HEAD, _SUM = struct.Struct("<QI"), struct.Struct("<I")
_LEVEL = re.compile(r"(.*)-r([0-9]{2})")


def open_tfrecords(path: Path, options: Mapping[str, object]) -> TfRecords:
    """Return the images of TFRecord files."""
    return TfRecords(path)


@dataclass(frozen=True)
class TfRecords(DiskImages):
    """Records of `shape` and `data`; NAME-rxx.labels beside NAME-r08.tfrecords has classes.

    Attributes:
        path: a file, or a folder of files of one resolution.
    """

    def find(self) -> Found:
        """Read where records begin, and classes."""
        shards, folders = shards_at(self.path, (".tfrecords", ".tfrecord"), _WHAT)
        self._refuse_levels(shards)
        rows, read = Rows(self.path, shards=shards), [shard.file for shard in shards]
        for shard in shards:
            starts = _starts(shard.file)
            beside = _labels_beside(shard.file)
            labels = None
            if beside:
                read.append(beside)
                labels = _labels(beside, len(starts))
            for row, (start, length) in enumerate(starts):
                label = None if labels is None else labels[row]
                place = (shard.file, start, length)
                rows.add(f"{shard.name}/{row:09d}", place, shard.split, label=label)
        around = {shard.file.parent for shard in shards}
        lone = sorted({f for a in around for f in a.glob("*.labels")} - {*read})
        said = [f"{file.name} is not read; classes are in NAME-rxx.labels" for file in lone]
        return rows.found(read, folders, said)

    def payloads(self, files: Sequence[ImageFile]) -> Iterator[Payload]:
        """Yield the pixels of each record."""
        places = self.found().places
        for file in files:
            held, start, length = places[file.name]
            try:
                with held.open("rb") as opened:
                    yield _pixels(_record(opened, held, start, length), f"{held} at byte {start}")
            except InputError as error:
                yield error

    def _refuse_levels(self, shards: Sequence[Shard]) -> None:
        """Refuse a folder that holds the same images at several sizes."""
        levels: dict[str, list[str]] = {}
        for shard in shards:
            found = _LEVEL.fullmatch(Path(shard.name).stem)
            if found:
                levels.setdefault(found[1], []).append(shard.name)
        for names in levels.values():
            if len(names) > 1:
                raise InputError(
                    f"{self.path}: found {', '.join(names)}, which are the same images at several"
                    f" sizes; name one: path: {self.path / names[-1]} (r08 is 256 pixels, r10"
                    " 1024)"
                )


def _starts(file: Path) -> list[tuple[int, int]]:
    """Return where the message of each record begins, and its length; lengths are checked."""
    size, at = file.stat().st_size, 0
    found = list[tuple[int, int]]()
    with file.open("rb") as opened:
        while at < size:
            opened.seek(at)
            head = opened.read(_HEAD.size)
            if len(head) < _HEAD.size:
                raise InputError(f"{file}: cut off in record {len(found)}; fetch it again")
            length, held = _HEAD.unpack(head)
            if masked(crc32c(head[:8])) != held:
                raise InputError(
                    f"{file}: record {len(found)} at byte {at} has a length whose sum is wrong: no"
                    " TFRecord file, or damaged; fetch it again"
                )
            found.append((at + _HEAD.size, length))
            at += _HEAD.size + length + _SUM.size
    if at > size:
        raise InputError(f"{file}: cut off in record {len(found) - 1}; fetch it again")
    if not found:
        raise InputError(f"{file}: no record in it; fetch it again")
    return found


def _record(opened: BinaryIO, file: Path, start: int, length: int) -> bytes:
    """Return the message of a record, whose sum is checked."""
    opened.seek(start)
    data = opened.read(length + _SUM.size)
    message, end = data[:length], data[length:]
    if len(end) < _SUM.size or masked(crc32c(message)) != _SUM.unpack(end)[0]:
        raise InputError(f"{file} at byte {start}: the record is damaged; fetch the file again")
    return message


def _pixels(message: bytes, where: str) -> Pixels:
    """Return the image of an Example, uint8 (H, W, 3)."""
    shape: tuple[int, ...] = ()
    data = b""
    try:
        for features in _fields(message, 1):
            for entry in _fields(features, 1):
                name, value = b"".join(_fields(entry, 1)), b"".join(_fields(entry, 2))
                if name == b"shape":
                    shape = tuple(_integers(b"".join(_fields(value, 3))))
                elif name == b"data":
                    data = next(_fields(b"".join(_fields(value, 1)), 1))
    except (IndexError, StopIteration):
        raise InputError(f"{where}: not a tf.train.Example of an image; {_WHAT}") from None
    if not shape and not data:
        raise InputError(f"{where}: an Example without shape and data; allowed: {_WHAT}")
    if len(shape) != 3 or shape[0] not in (1, 3) or len(data) != int(np.prod(shape)):
        raise InputError(
            f"{where}: shape is {list(shape)} with {len(data):,} bytes of data; images are uint8"
            " (3, H, W) or (1, H, W)"
        )
    found = np.frombuffer(data, np.uint8).reshape(shape).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(found, (*shape[1:], 3)))


def _fields(message: bytes, wanted: int) -> Iterator[bytes]:
    """Yield the values of a field that have a length, of a message of protocol buffers."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(message, at)
            continue
        if kind != 2:
            at += {1: 8, 5: 4}[kind] if kind in (1, 5) else len(message)
            continue
        length, at = _varint(message, at)
        if at + length > len(message):
            raise IndexError("a value that is longer than its message")
        if tag >> 3 == wanted:
            yield message[at : at + length]
        at += length


def _integers(message: bytes) -> Iterator[int]:
    """Yield the values of an Int64List, packed or not."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == 0:
            value, at = _varint(message, at)
            yield value
            continue
        length, at = _varint(message, at)
        end = at + length
        while at < end:
            value, at = _varint(message, at)
            yield value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80 or shift > 63:
            return value, at


def _labels_beside(file: Path) -> Path | None:
    """Return the file of classes that is beside one of images, if there is one."""
    found = _LEVEL.fullmatch(file.stem)
    beside = file.with_name(f"{found[1]}-rxx.labels") if found else None
    return beside if beside and beside.is_file() else None


def _labels(file: Path, count: int) -> list[int] | None:
    """Return the class of each image, of rows with a one; None where rows have no classes.

    Raises:
        InputError: the file is no array, or its rows are not those of the images.
    """
    try:
        with file.open("rb") as opened:
            rows = np.lib.format.read_array(opened, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: not an array of classes ({error}); fetch it again") from None
    if rows.ndim != 2 or len(rows) != count:
        raise InputError(
            f"{file}: {rows.dtype} {rows.shape} for {count:,} images; classes are a row for each"
        )
    if rows.shape[1] < 2:
        return None
    if not ((rows == 1).sum(1) == 1).all() or not ((rows == 0).sum(1) == rows.shape[1] - 1).all():
        raise InputError(f"{file}: rows are not one 1 among zeros, so they name no class")
    return [int(k) for k in rows.argmax(1)]
