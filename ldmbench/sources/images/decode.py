"""Bytes of an image file or rows of an npz -> uint8 RGB, or one clear sentence why not."""

from __future__ import annotations

import io
import math
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from ldmbench.errors import InputError
from ldmbench.sources.images.source import Pixels

__all__ = ["decode", "npz_labels", "npz_rows", "npz_shape", "npz_unread", "size_of"]

MOST_PIXELS = 2**27
"""Of the largest picture that is decoded."""
MOST_IMAGES = 5_000_000
"""Of the longest npz that is read."""
_DEFLATED = 1032
"""Bytes that one byte of deflated data can become."""
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_STATISTICS = ("mu", "sigma", "mu_s", "sigma_s")
"""Arrays that guided-diffusion's reference batches have beside images."""
_DAMAGE = (OSError, EOFError, zipfile.BadZipFile, zlib.error)
_SIXTEEN = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def decode(data: bytes, where: str, *, cmyk: bool = False) -> Pixels:
    """Decode one picture to uint8 HWC, RGB.

    Grey becomes three equal channels; palettes are looked up; transparency is dropped, not
    blended, as the loaders of the literature do. Orientation tags are not applied.

    Args:
        data: the file.
        where: what an error calls it.
        cmyk: whether CMYK is converted by Pillow, without a colour profile, and not refused.

    Raises:
        InputError: if it is empty, damaged, of another format, animated, 16-bit or CMYK.
    """
    picture = _opened(data, where, load=True, cmyk=cmyk)
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA")
    return np.asarray(picture.convert("RGB"))


def size_of(data: bytes, where: str, *, whole: bool, cmyk: bool = False) -> tuple[int, int]:
    """Return width and height of one picture; as `decode`, but unless `whole` its header alone."""
    picture = _opened(data, where, load=whole, cmyk=cmyk)
    return picture.width, picture.height


def _opened(data: bytes, where: str, *, load: bool, cmyk: bool) -> Image.Image:
    if not data:
        raise InputError(f"{where}: the file is empty; replace or remove it")
    try:
        # decoders of foreign bytes raise nearly anything
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=_FORMATS)
        problem = "" if cmyk and picture.mode == "CMYK" else _problem(picture, data)
        if load and not problem:
            picture.load()
    except Exception as error:
        raise InputError(
            f"{where}: not a readable {', '.join(_FORMATS)} image ({_reason(error)}); "
            "replace or remove it"
        ) from None
    if problem:
        raise InputError(f"{where}: {problem}")
    return picture


def _reason(error: Exception) -> str:
    return "format not recognised" if "BytesIO" in str(error) else str(error).strip() or "damaged"


def _problem(picture: Image.Image, data: bytes) -> str:
    """Say why a picture is not an ordinary 8-bit image and what to do, or ''."""
    if picture.width * picture.height > MOST_PIXELS:
        return (
            f"{picture.width} x {picture.height} pixels, and no more than {MOST_PIXELS:,} in all"
            " are read; make it smaller"
        )
    if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
        return "an animated image; save the frames you want as separate files"
    if picture.mode in _SIXTEEN or (picture.format == "PNG" and data[24] == 16):
        return "16 bits per channel; convert it to 8 bits and choose how to scale it"
    if picture.mode == "CMYK":
        return "a CMYK image; convert it to RGB with the colour profile it was made for"
    if picture.mode not in _MODES:
        return f"colour mode {picture.mode} is not read; convert it to 8-bit RGB"
    return ""


def npz_shape(path: Path) -> tuple[int, int, int, int]:
    """Return the shape of arr_0, (N, H, W, 3); only its header is read.

    Raises:
        InputError: if it is not a uint8 array (N, H, W, 3), or the file does not hold so much.
    """
    with _member(path, "arr_0.npy") as file:
        return _images_header(file, path)


def npz_labels(path: Path) -> list[int]:
    """Return arr_1 as labels, or zeros where there is none.

    Raises:
        InputError: if there is not one integer per image.
    """
    count = npz_shape(path)[0]
    with zipfile.ZipFile(path) as archive:
        if "arr_1.npy" not in archive.namelist():
            return [0] * count
    with _member(path, "arr_1.npy") as file:
        shape, _, dtype = _header(file, path, "arr_1")
        if shape != (count,) or not np.issubdtype(dtype, np.integer):
            raise InputError(
                f"{path}: arr_1 is {dtype} {shape}; labels are one integer for each of the"
                f" {count} images"
            )
        try:
            labels = np.frombuffer(file.read(count * dtype.itemsize), dtype)
        except (ValueError, *_DAMAGE) as error:
            raise InputError(f"{path}: arr_1 cannot be read ({error})") from None
    if len(labels) != count or labels.min(initial=0) < 0:
        raise InputError(f"{path}: arr_1 is truncated or holds labels below 0; save it again")
    return [int(label) for label in labels]


def npz_unread(path: Path) -> list[str]:
    """Return the names of arrays that are neither images, classes nor a reference's statistics."""
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    return [name for name in names if name not in ("arr_0", "arr_1", *_STATISTICS)]


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
        shape, start = _images_header(file, path), file.tell()
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
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NotImplementedError("packed by another method than numpy's")
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


def _images_header(file: IO[bytes], path: Path) -> tuple[int, int, int, int]:
    """Read the header of arr_0 and return its shape; leaves the file at the first image."""
    shape, fortran, dtype = _header(file, path, "arr_0")
    if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or fortran:
        raise InputError(
            f"{path}: arr_0 is {dtype} {shape}; images are uint8 (N, H, W, 3) in C order"
        )
    if 0 in shape:
        raise InputError(f"{path}: arr_0 is {shape}, no image in it; save at least one")
    if shape[0] > MOST_IMAGES or shape[1] * shape[2] > MOST_PIXELS:
        raise InputError(
            f"{path}: arr_0 is {shape}; no more than {MOST_IMAGES:,} images of {MOST_PIXELS:,}"
            " pixels are read of one npz"
        )
    return shape[0], shape[1], shape[2], shape[3]


def _header(file: IO[bytes], path: Path, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an array that the file can hold; leaves the file at the first item."""
    try:
        version = np.lib.format.read_magic(file)
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = read[version[0]](file)
    except (ValueError, KeyError, *_DAMAGE) as error:
        raise InputError(f"{path}: {name} has no readable header ({error})") from None
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
    there = min(info.compress_size, path.stat().st_size)
    if info.compress_type != zipfile.ZIP_STORED:
        there = min(there * _DEFLATED, info.file_size)
    if math.prod(shape) * dtype.itemsize > there:
        raise InputError(
            f"{path}: {name} is {dtype} {shape} by its header, and the file holds no more than"
            f" {there:,} bytes of it; fetch or save it again"
        )
    return tuple(int(n) for n in shape), fortran, dtype
