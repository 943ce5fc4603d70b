"""Files that `torch.save` wrote, now or before torch 1.6: what they hold, tensors as slots."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from ldmbench.errors import InputError
from ldmbench.tensors.inert import Token, Unpickler
from ldmbench.tensors.slots import BYTES, Storage

__all__ = ["read_archive", "read_stream"]

_SAVE = "save its state_dict as .safetensors where you trust it"
_MAGIC = 0x1950A86A20F9469CFC6C
_LINE = 1 << 20  # bytes of one line of a text opcode
_LOCAL = struct.Struct("<4s5H3I2H")  # the header before each entry of a zip file
_ENCRYPTED = 0x1


def read_archive(path: Path) -> object:
    """Read the object of a zip archive, as torch has written since 1.6.

    Raises:
        Exception: of any kind where the file is damaged.
    """
    if not zipfile.is_zipfile(path):
        raise EOFError("it begins as one, but its end is missing")
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        entries = archive.infolist()
        names = [e.filename for e in entries]
        inner = [n for n in names if n.endswith("/data.pkl") or n == "data.pkl"]
        # Refuse archives that are ambiguous, or code.
        if len(set(names)) != len(names):
            raise ValueError("two entries of its archive have one name")
        if any(n.endswith("/constants.pkl") for n in names):
            raise InputError(f"{path} is a TorchScript archive, which is code; {_SAVE}")
        if len(inner) != 1:
            raise ValueError("the archive holds no single data.pkl")
        root = inner[0].removesuffix("data.pkl")
        # Find the bytes of each tensor in the archive.
        checked = any(e.CRC for e in entries)  # torch has an option to leave them out
        places = {e.filename: _place(e, file, checked=checked) for e in entries if not e.is_dir()}
        order = places.get(f"{root}byteorder")
        if order is not None and _bytes_of(order, file) != b"little":
            raise InputError(f"{path} was written by a big-endian machine; {_SAVE}")
        # Unpickle the names and shapes, without importing anything.
        stored = _Stored(lambda key: places[f"{root}data/{key}"])
        content = _bytes_of(places[inner[0]], file)
        return Unpickler(io.BytesIO(content), where=str(path), stored=stored).load()


def read_stream(path: Path) -> object:
    """Read the object of a file without an archive, as torch wrote before 1.6.

    Raises:
        Exception: of any kind where the file is damaged.
    """
    with path.open("rb") as raw:
        size = raw.seek(0, io.SEEK_END)
        raw.seek(0)
        file = _Bounded(raw, size)
        where = str(path)
        if Unpickler(file, where=where).load() != _MAGIC:
            raise InputError(f"{path} is a pickle, but none that torch.save wrote; {_SAVE}")
        Unpickler(file, where=where).load()  # the version
        machine = Unpickler(file, where=where).load()
        if not isinstance(machine, dict) or machine.get("little_endian") is not True:
            raise InputError(f"{path} was written by a big-endian machine; {_SAVE}")
        stored = _Stored(None)
        content = Unpickler(file, where=where, stored=stored).load()
        keys = Unpickler(file, where=where).load()
        if not isinstance(keys, list) or len(keys) != len(set(map(str, keys))):
            raise ValueError("its list of storages is damaged")
        for key in keys:
            storage = stored.known[str(key)]
            (count,) = struct.unpack("<q", file.read(8))
            if count != storage.count:
                raise ValueError(f"storage {key} has {count} values, not {storage.count}")
            storage.offset = file.tell()
            file.skip(storage.size)
        lacking = sorted(set(stored.known) - set(map(str, keys)))
        if lacking:
            raise ValueError(f"storage {lacking[0]} is missing")
        stored.settle()
        return content


class _Stored:
    """The storages that a pickle names, by key."""

    def __init__(self, place: Any) -> None:
        self._place = place
        self.known: dict[str, Storage] = {}
        self._views: list[tuple[Storage, Storage, int]] = []

    def __call__(self, pid: Any) -> Storage:
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise ValueError("it names something that is no storage")
        _, kind, key, _, count, *view = pid
        if not isinstance(kind, Token) or type(count) is not int or count < 0:
            raise ValueError("it names a storage of no known type")
        key = str(key)
        if key not in self.known:
            self.known[key] = self._open(kind.name, key, count)
        root = self.known[key]
        if (root.dtype, root.count) != (kind.name, count):
            raise ValueError(f"storage {key} is named twice, with different values")
        return self._view(root, view[0]) if view and view[0] is not None else root

    def _open(self, dtype: str | None, key: str, count: int) -> Storage:
        made = Storage(dtype, count)
        if self._place is None:
            return made
        place = self._place(key)
        if made.size > place.size:
            raise ValueError(f"storage {key} has {place.size} bytes, not {made.size}")
        return place_of(made, place)

    def _view(self, root: Storage, view: Any) -> Storage:
        """Return a part of a storage, as files of old versions name one."""
        _, start, count = view
        if type(start) is not int or type(count) is not int or start < 0 or count < 0:
            raise ValueError("it names an impossible part of a storage")
        if start + count > root.count:
            raise ValueError("it names a part beyond the end of a storage")
        part = Storage(root.dtype, count)
        self._views.append((part, root, start))
        return part

    def settle(self) -> None:
        """Give each part of a storage its place."""
        for part, root, start in self._views:
            part.offset = root.offset + start * (BYTES[root.dtype] if root.dtype else 1)


def place_of(storage: Storage, place: Storage) -> Storage:
    """Give a storage the place of an entry; its checksum holds if it is the whole entry."""
    storage.offset = place.offset
    storage.crc = place.crc if storage.size == place.size else None
    return storage


class _Bounded(io.RawIOBase):
    """A file whose reads never ask for more than it has."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes."""
        if not 0 <= size <= self._left:
            raise EOFError("its end is missing")
        self._left -= size
        return self._file.read(size)

    def readline(self, size: int | None = -1) -> bytes:
        """Return one line, which must not be long."""
        line = self._file.readline(_LINE)
        self._left -= len(line)
        if not line.endswith(b"\n"):
            raise ValueError("a line of its pickle has no end")
        return line

    def tell(self) -> int:
        """Return the place in the file."""
        return self._file.tell()

    def skip(self, size: int) -> None:
        """Pass over so many bytes."""
        if size > self._left:
            raise EOFError("its end is missing")
        self._left -= size
        self._file.seek(size, io.SEEK_CUR)


def _place(entry: zipfile.ZipInfo, file: BinaryIO, *, checked: bool) -> Storage:
    """Return where the bytes of an entry lie; torch never compresses or encrypts them."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
        raise ValueError(f"{entry.filename} is compressed, as no file of torch.save is")
    if entry.flag_bits & _ENCRYPTED:
        raise ValueError(f"{entry.filename} is encrypted")
    file.seek(entry.header_offset)
    head = file.read(_LOCAL.size)
    magic, *_, name, extra = _LOCAL.unpack(head)
    if magic != b"PK\x03\x04" or file.read(name) != entry.orig_filename.encode():
        raise ValueError(f"{entry.filename} does not lie where the archive says")
    start = entry.header_offset + _LOCAL.size + name + extra
    if start + entry.file_size > file.seek(0, io.SEEK_END):
        raise EOFError("its end is missing")
    return Storage(None, entry.file_size, start, entry.CRC if checked else None)


def _bytes_of(place: Storage, file: BinaryIO) -> bytes:
    """Return the bytes of an entry, checked."""
    file.seek(place.offset)
    content = file.read(place.size)
    if place.crc is not None and zlib.crc32(content) != place.crc:
        raise ValueError("a part of it has another checksum than the file says")
    return content
