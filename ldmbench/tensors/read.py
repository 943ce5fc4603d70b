"""Values of tensors, from a file into torch's own memory."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch

from ldmbench.errors import InputError
from ldmbench.tensors.slots import BYTES, Slot, Storage

__all__ = ["fetch"]

_PIECE = 1 << 24
_NARROW = (torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2)


def fetch(path: Path, slots: Mapping[str, Slot]) -> dict[str, torch.Tensor]:
    """Read tensors one by one into memory that torch aligns, so that equal weights are equal bits.

    Processors round otherwise where values do not begin on a boundary, and files begin them
    anywhere. Nothing stays mapped, and no more than one tensor is in memory twice.

    Args:
        path: the file that they lie in.
        slots: name -> its place.

    Returns:
        name -> tensor on the CPU, dense; half precision is widened to float32. Names of one place
        share a tensor.

    Raises:
        InputError: the file ends too early, or a part has another checksum than the file says.
    """
    made: dict[Slot, torch.Tensor] = {}
    checked: set[int] = set()
    try:
        with path.open("rb", buffering=0) as file:
            for slot in slots.values():
                if slot not in made:
                    made[slot] = _widened(_read(file, slot, checked))
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path} is damaged or not whole: {error}; get it again") from error
    return {name: made[slot] for name, slot in slots.items()}


def _read(file: BinaryIO, slot: Slot, checked: set[int]) -> torch.Tensor:
    dtype, width = getattr(torch, slot.dtype), BYTES[slot.dtype]
    storage = slot.storage
    if slot.is_whole:
        found = torch.empty(slot.shape, dtype=dtype)
        _fill(file, found, storage.offset, crc=storage.crc)
        return found
    if storage.crc is not None and storage.offset not in checked:
        checked.add(storage.offset)
        _check(file, storage)
    reach = torch.empty(slot.span, dtype=dtype)
    _fill(file, reach, storage.offset + slot.start * width)
    if not slot.count:
        return reach.reshape(slot.shape)
    return reach.as_strided(slot.shape, slot.stride).clone(memory_format=torch.contiguous_format)


def _fill(file: BinaryIO, target: torch.Tensor, offset: int, *, crc: int | None = None) -> None:
    """Read a tensor's bytes, piece by piece, and check them."""
    if not target.numel():
        return
    memory = target.view(-1).view(torch.uint8).numpy().data
    file.seek(offset)
    found, at = 0, 0
    while at < len(memory):
        count = file.readinto(memory[at : at + _PIECE])  # type: ignore[attr-defined]
        if not count:
            raise EOFError("its end is missing")
        found = zlib.crc32(memory[at : at + count], found) if crc is not None else 0
        at += count
    if crc is not None and found != crc:
        raise ValueError("a tensor has another checksum than the file says")


def _check(file: BinaryIO, storage: Storage) -> None:
    """Compare a storage with its checksum without keeping it."""
    file.seek(storage.offset)
    found, left = 0, storage.size
    while left:
        piece = file.read(min(left, _PIECE))
        if not piece:
            raise EOFError("its end is missing")
        found, left = zlib.crc32(piece, found), left - len(piece)
    if found != storage.crc:
        raise ValueError("a tensor has another checksum than the file says")


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.dtype in _NARROW else tensor
