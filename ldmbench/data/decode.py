"""Bytes of an image file or rows of an npz -> uint8 RGB, or one clear sentence why not."""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from ldmbench.data.batch import Pixels
from ldmbench.errors import InputError

__all__ = ["decode", "npz_labels", "npz_length", "npz_rows"]

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_DAMAGE = (OSError, EOFError, zipfile.BadZipFile, zlib.error)
_SIXTEEN = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def decode(data: bytes, where: str) -> Pixels:
    """Decode one picture to uint8 HWC, RGB.

    Grey becomes three equal channels; palettes are looked up; transparency is dropped, not
    blended, as the loaders of the literature do. Orientation tags are not applied.

    Args:
        data: the file.
        where: what an error calls it.

    Raises:
        InputError: if it is empty, damaged, of another format, animated, 16-bit or CMYK.
    """
    if not data:
        raise InputError(f"{where}: the file is empty; replace or remove it")
    try:
        # decoders of foreign bytes raise nearly anything
        picture = Image.open(io.BytesIO(data), formats=_FORMATS)
        problem = _problem(picture, data)
        if not problem:
            picture.load()
    except Exception as error:
        raise InputError(
            f"{where}: not a readable {', '.join(_FORMATS)} image ({_reason(error)}); "
            "replace or remove it"
        ) from None
    if problem:
        raise InputError(f"{where}: {problem}")
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA")
    return np.asarray(picture.convert("RGB"))


def _reason(error: Exception) -> str:
    return "format not recognised" if "BytesIO" in str(error) else str(error).strip() or "damaged"


def _problem(picture: Image.Image, data: bytes) -> str:
    """Say why a picture is not an ordinary 8-bit image and what to do, or ''."""
    if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
        return "an animated image; save the frames you want as separate files"
    if picture.mode in _SIXTEEN or (picture.format == "PNG" and data[24] == 16):
        return "16 bits per channel; convert it to 8 bits and choose how to scale it"
    if picture.mode == "CMYK":
        return "a CMYK image; convert it to RGB with the colour profile it was made for"
    if picture.mode not in _MODES:
        return f"colour mode {picture.mode} is not read; convert it to 8-bit RGB"
    return ""


def npz_length(path: Path) -> int:
    """Return the number of images in arr_0; only its header is read.

    Raises:
        InputError: if it is not a uint8 array (N, H, W, 3).
    """
    with _member(path, "arr_0.npy") as file:
        return _header(file, path)[0]


def npz_labels(path: Path) -> list[int]:
    """Return arr_1 as labels, or zeros where there is none.

    Raises:
        InputError: if there is not one integer per image.
    """
    count = npz_length(path)
    with zipfile.ZipFile(path) as archive:
        if "arr_1.npy" not in archive.namelist():
            return [0] * count
    with _member(path, "arr_1.npy") as file:
        try:
            labels = np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, *_DAMAGE) as error:
            raise InputError(f"{path}: arr_1 cannot be read ({error})") from None
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"{path}: arr_1 is {labels.dtype} {labels.shape}; labels are one integer for each "
            f"of the {count} images"
        )
    return [int(label) for label in labels]


def npz_rows(path: Path, rows: Sequence[int], *, checked: bool = False) -> Iterator[Pixels]:
    """Yield rows of arr_0, uint8 HWC, reading no others into memory.

    Args:
        path: the npz.
        rows: which.
        checked: compare with the checksum of the file; only all rows in order can be.

    Raises:
        InputError: if arr_0 is damaged.
    """
    with _member(path, "arr_0.npy", checked=checked) as file:
        shape, start = _header(file, path), file.tell()
        size = math.prod(shape[1:])
        for row in rows:
            try:
                file.seek(start + row * size)
                data = file.read(size)
            except _DAMAGE as error:
                raise InputError(f"{path}: row {row} of arr_0 is damaged ({error})") from None
            if len(data) != size:
                raise InputError(f"{path}: arr_0 ends before row {row}; the file is truncated")
            yield np.frombuffer(data, dtype=np.uint8).reshape(shape[1:])


def _member(path: Path, name: str, *, checked: bool = False) -> IO[bytes]:
    try:
        archive = zipfile.ZipFile(path)
        info = archive.getinfo(name)
        if checked or info.compress_type != zipfile.ZIP_STORED:
            return archive.open(info)
        # not compressed: the file itself, so that any row is one seek away
        file = path.open("rb")
        file.seek(info.header_offset + 26)
        file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)
        return file
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or of an unknown method
        raise InputError(f"{path}: {name} cannot be read ({error}); save it again") from None
    except (OSError, KeyError, struct.error, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: not an npz with {name.removesuffix('.npy')} ({error}); "
            "save the images with numpy.savez(path, images, labels)"
        ) from None


def _header(file: IO[bytes], path: Path) -> tuple[int, ...]:
    """Read the header of arr_0 and return its shape; leaves the file at the first image."""
    try:
        version = np.lib.format.read_magic(file)
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = read[version[0]](file)
    except (ValueError, KeyError, *_DAMAGE) as error:
        raise InputError(f"{path}: arr_0 has no readable header ({error})") from None
    if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or fortran:
        raise InputError(
            f"{path}: arr_0 is {dtype} {shape}; images are uint8 (N, H, W, 3) in C order"
        )
    if 0 in shape:
        raise InputError(f"{path}: arr_0 is {shape}, no image in it; save at least one")
    return tuple(int(n) for n in shape)
