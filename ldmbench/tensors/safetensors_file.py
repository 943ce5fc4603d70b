"""Safetensors files: what they hold, tensors as slots."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

from ldmbench.tensors.slots import BYTES, Slot, Storage, slot

__all__ = ["read_safetensors"]

_TYPES = {
    "BF16": "bfloat16",
    "BOOL": "bool",
    "C64": "complex64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "I8": "int8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "U8": "uint8",
}
_LARGEST = 100_000_000  # bytes of a header, the format's own limit


def read_safetensors(path: Path) -> dict[str, Slot]:
    """Return the tensors of a file, those too that share memory under other names.

    `safetensors.torch.save_model` keeps one name of a shared tensor and notes the others in the
    file's metadata.

    Raises:
        Exception: of any kind where the file is damaged.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _LARGEST):
            raise ValueError(f"its header says {length:,} bytes, the file has {size:,}")
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_once)
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    noted = header.pop("__metadata__", None) or {}
    found = {name: _slot(name, entry, 8 + length) for name, entry in header.items()}
    _check_cover([s.storage for s in found.values()], start=8 + length, end=size)
    shared = {str(k): found[v] for k, v in dict(noted).items() if v in found and k not in found}
    return found | shared


def _slot(name: str, entry: Any, base: int) -> Slot:
    dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if dtype not in _TYPES:
        raise ValueError(f"tensor {name[:100]} has the type {str(dtype)[:20]}, which is not read")
    if any(type(n) is not int or n < 0 for n in (*shape, begin, end)):
        raise ValueError(f"tensor {name[:100]} has impossible sides or offsets")
    kind = _TYPES[dtype]
    if end - begin != math.prod(shape) * BYTES[kind]:
        raise ValueError(f"tensor {name[:100]} has {end - begin} bytes for a shape of {shape}")
    return slot(kind, shape, Storage(kind, math.prod(shape), base + begin))


def _check_cover(storages: list[Storage], *, start: int, end: int) -> None:
    """Refuse tensors that overlap, leave holes, or reach beyond the file."""
    at = start
    for storage in sorted(storages, key=lambda s: (s.offset, s.size)):
        if storage.offset != at:
            raise ValueError("its tensors overlap or leave holes")
        at += storage.size
    if at != end:
        raise ValueError(f"its tensors end at byte {at:,}, the file at byte {end:,}")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in its header")
    return found
