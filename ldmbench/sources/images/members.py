"""The files of a folder or zip: what each is called, however an archive spells it, and its bytes.

A name is written with "/" between folders, without "./", in Unicode's composed form (NFC): macOS
decomposes names, and some Windows tools write backslashes. So a zip has the names of the folder
that it was made from.
"""

from __future__ import annotations

import os
import stat
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ldmbench.canonical import Stamp, stamp_of
from ldmbench.errors import InputError

__all__ = [
    "ARCHIVES",
    "LARGEST",
    "PICTURES",
    "SUFFIXES",
    "Members",
    "contents",
    "is_npz",
    "members_of",
    "spelled",
    "suffix_of",
    "walk",
]

LARGEST = 256 * 2**20
"""Bytes of the largest file that is read into memory, unpacked."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
PICTURES = (
    ".gif", ".tif", ".tiff", ".apng", ".avif", ".heic", ".heif", ".jp2", ".jxl", ".jfif", ".jpe",
    ".ppm", ".pgm", ".pnm", ".tga", ".exr", ".hdr", ".psd", ".ico", ".dng",
)  # fmt: skip
"""Suffixes of pictures that are not read."""
ARCHIVES = (
    ".zip", ".tar", ".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".npz",
    ".npy", ".parquet", ".arrow", ".tfrecord", ".tfrecords", ".mdb", ".h5", ".hdf5", ".pkl",
)  # fmt: skip
"""Suffixes of files that may hold images, and are not looked into."""
_KINDS = {
    ".parquet": "parquet",
    ".mdb": "lmdb",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".tfrecords": "tfrecords",
}
"""Suffixes of files that another kind of data set reads."""
_UNREADABLE = (
    OSError,
    KeyError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Members:
    """The files of a folder or zip.

    Attributes:
        at: name -> what it is called in the source, by name.
        hidden: names of files in hidden folders, which are left out.
        foreign: names of files that macOS adds to archives, which are left out.
        stamps: of the folders, or the zip, before they were listed: while they stay, so do names.
    """

    at: dict[str, str]
    hidden: tuple[str, ...]
    foreign: tuple[str, ...]
    stamps: Mapping[Path, Stamp]


def is_npz(path: Path) -> bool:
    """Tell an npz, whose rows are the images."""
    return path.suffix.lower() == ".npz" and path.is_file()


def members_of(path: Path) -> Members:
    """List the files of a folder or zip; links to folders are followed.

    Raises:
        InputError: if it is neither, names of a zip lead out of it or stand in it twice, or a name
            is not UTF-8.
    """
    stamps: dict[Path, Stamp] = {}
    if path.is_dir():
        found = list(walk(path, stamps))
    elif path.is_file() and zipfile.is_zipfile(path):
        stamps[path] = stamp_of(path.stat())
        with zipfile.ZipFile(path) as archive:
            found = [info.filename for info in archive.infolist() if not _is_folder(info)]
    elif path.exists():
        raise InputError(f"{path}: neither a folder nor a zip nor an npz; {_advice(path)}")
    else:
        raise InputError(f"{path}: no such folder or file; check data.path")
    names = [(spelled(raw), raw) for raw in found]
    _refuse_names(path, names)
    parts = {name: PurePosixPath(name).parts for name, _ in names}
    present = set(parts)
    foreign = {name for name in parts if _is_of_macos(name, present)}
    hidden = {n for n, p in parts.items() if any(f.startswith(".") for f in p[:-1])} - foreign
    return Members(
        {name: raw for name, raw in sorted(names) if name not in hidden | foreign},
        tuple(sorted(hidden)),
        tuple(sorted(foreign)),
        stamps,
    )


def spelled(name: str) -> str:
    """Return the name of a file in a folder or zip as every other spelling of it is read."""
    parts = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")
    kept = [part for part in parts if part not in ("", ".")]
    return ("/" if parts[0] == "" else "") + "/".join(kept)


def suffix_of(name: str) -> str:
    """Return the suffix of a name in lower case; ".45.png" has one, and ".png" has none."""
    return PurePosixPath(name).suffix.lower()


def contents(
    wanted: Iterable[tuple[Path, str]], *, problems: list[str] | None = None
) -> Iterator[tuple[tuple[Path, str], bytes]]:
    """Yield the bytes of files of folders and zips, opening each zip once.

    Args:
        wanted: folder or zip, and what the file is called in it.
        problems: where those that cannot be read are named; they are then left out.

    Raises:
        InputError: if one cannot be read and `problems` is None.
    """
    archives: dict[Path, zipfile.ZipFile] = {}
    try:
        for source, name in wanted:
            try:
                if not source.is_dir() and source not in archives:
                    archives[source] = zipfile.ZipFile(source)
                data = _content(source, name, archives.get(source))
            except (InputError, *_UNREADABLE) as error:
                why = str(error)
                if not isinstance(error, InputError):
                    why = f"{source}/{name}: cannot be read ({error}); replace or remove it"
                if problems is None:
                    raise InputError(why) from None
                problems.append(why)
                continue
            yield (source, name), data
    finally:
        for archive in archives.values():
            archive.close()


def _content(source: Path, name: str, archive: zipfile.ZipFile | None) -> bytes:
    """Return the bytes of a file, unless it has no end, or far more than an image has."""
    if archive:
        size, regular = archive.getinfo(name).file_size, True
    else:
        at = (source / name).stat()
        size, regular = at.st_size, stat.S_ISREG(at.st_mode)
    if not regular:
        raise InputError(f"{source}/{name}: a pipe or device, not a file; remove it")
    if size > LARGEST:
        raise InputError(
            f"{source}/{name}: {size:,} bytes unpacked, and no more than {LARGEST:,} are read;"
            " replace or remove it"
        )
    return archive.read(name) if archive else (source / name).read_bytes()


def walk(path: Path, stamps: dict[Path, Stamp], *, hidden: bool = True) -> Iterator[str]:
    """Yield the names of files below a folder, relative to it, as they are spelled there.

    Args:
        path: the folder; links to folders are followed.
        stamps: where each folder is added with its stamp.
        hidden: whether folders are looked into whose names begin with a dot.

    Raises:
        InputError: a folder cannot be listed, or a link leads to a folder that holds it.
    """
    return _walk(path, path, (), stamps, hidden=hidden)


def _walk(
    top: Path,
    folder: Path,
    above: tuple[Stamp, ...],
    stamps: dict[Path, Stamp],
    *,
    hidden: bool,
) -> Iterator[str]:
    try:
        stamps[folder] = stamp_of(folder.stat())
        here = stamps[folder][:2]
        if here in above:
            raise InputError(f"{folder}: a link to a folder that holds it; remove the link")
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.is_dir()) for entry in entries]
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror})") from None
    for name, is_folder in found:
        if is_folder and (hidden or not name.startswith(".")):
            yield from _walk(top, folder / name, (*above, here), stamps, hidden=hidden)
        elif is_folder:
            continue
        else:
            yield (folder / name).relative_to(top).as_posix()


def _is_folder(info: zipfile.ZipInfo) -> bool:
    return info.is_dir() or info.filename.endswith("\\")


def _is_of_macos(name: str, present: set[str]) -> bool:
    """Tell what macOS adds: __MACOSX, .DS_Store, and ._a.png beside a.png."""
    folder, _, last = name.rpartition("/")
    beside = f"{folder}/{last[2:]}".lstrip("/")
    return (
        "__MACOSX" in name.split("/")
        or last == ".DS_Store"
        or (last.startswith("._") and beside in present)
    )


def _refuse_names(path: Path, names: list[tuple[str, str]]) -> None:
    """Refuse names that lead out of a source, that no text can hold, or that two files have."""
    outside = [raw for name, raw in names if name.startswith("/") or ".." in name.split("/")]
    if outside:
        raise InputError(
            f"{path}: {len(outside)} names lead out of the zip, such as {outside[0]}; zip the"
            " folder itself"
        )
    for _, raw in names:
        if any("\ud800" <= letter <= "\udfff" for letter in raw):  # bytes that are no UTF-8
            raise InputError(
                f"{path}: the file name {os.fsencode(raw)!r} is not UTF-8; rename the file"
            )
    twice = [name for name, count in Counter(name for name, _ in names).items() if count > 1]
    if twice:
        raise InputError(
            f"{path}: {len(twice)} names stand for several files, such as {twice[0]} (with ./,"
            " backslashes or decomposed letters are one name); keep one of each"
        )


def _advice(path: Path) -> str:
    if not path.is_file():
        return "it is a pipe or device"
    if ".tar" in path.suffixes or path.suffix in (".tgz", ".tbz2", ".txz"):
        other = ", or write kind: webdataset" if path.suffix == ".tar" else ""
        return (
            f"tar archives are not read: unpack it (tar -xf {path.name}) and give the folder{other}"
        )
    if path.suffix.lower() == ".npy":
        return "an .npy is not read: save uint8 images (N, H, W, 3) by numpy.savez(path, images)"
    if path.suffix.lower() == ".safetensors":
        return (
            "latents on disk are not read: give the images that they were made of, which a suite"
            " encodes by its first stage"
        )
    if path.suffix.lower() in _KINDS:
        return f"kind: {_KINDS[path.suffix.lower()]} reads {path.suffix} files"
    if path.suffix.lower() in ARCHIVES:
        return f"{path.suffix} files are not read: unpack the images and give their folder"
    return "give one of these"
