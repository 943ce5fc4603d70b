"""What a folder, zip or npz of images holds: names, classes, captions. No picture is opened."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ldmbench.data.decode import npz_labels, npz_length
from ldmbench.errors import InputError

__all__ = [
    "LARGEST",
    "PICTURES",
    "SPLITS",
    "SUFFIXES",
    "ImageFile",
    "contents",
    "list_images",
    "other_files",
    "text_of",
    "top_folder",
]

SPLITS = ("train", "validation", "reference")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
LOSSY = (".jpg", ".jpeg", ".webp")
LARGEST = 256 * 2**20
"""Bytes of the largest file that is read into memory, unpacked."""
PICTURES = (".gif", ".tif", ".tiff", ".apng", ".avif", ".heic", ".heif", ".jp2", ".jxl", ".jfif",
            ".ppm", ".pgm", ".pnm", ".tga", ".exr", ".hdr")  # fmt: skip
"""Suffixes of pictures that are not read."""
_CAPTIONS = "captions.jsonl"
_NOTES = (".txt", ".json", ".jsonl", ".md", ".csv", ".yaml", ".yml")
_UNREADABLE = (
    OSError,
    KeyError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image of a source, not yet read.

    Attributes:
        name: where it is in the source, with "/" between folders; for npz the row, "00000007".
        source: the folder, zip or npz.
        label: its class: the row of its folder's name among all folders' names, else 0; for npz
            from arr_1.
        caption: from captions.jsonl, else None.
        text: name of the .txt file beside it, else None.
    """

    name: str
    source: Path
    label: int = 0
    caption: str | None = None
    text: str | None = None

    @property
    def where(self) -> str:
        """What an error calls this image."""
        return f"{self.source}/{self.name}"


def list_images(path: Path) -> tuple[ImageFile, ...]:
    """List the images of a source by name; no picture is opened.

    A folder or zip holds png, jpg, jpeg, webp and bmp files at any depth. Hidden files are left
    out and links to folders are not followed. The first folder of a name, after train/,
    validation/ or reference/, is its class. Captions come from a .txt beside an image or from
    captions.jsonl (`{"file": ..., "text": ...}` per line) at the top. An npz holds arr_0
    (uint8 NHWC) and perhaps arr_1 (labels).

    Raises:
        InputError: if there is no such source, no image in it, or captions.jsonl is malformed.
    """
    if path.suffix.lower() == ".npz" and path.is_file():
        labels = npz_labels(path)
        return tuple(ImageFile(f"{i:08d}", path, label=labels[i]) for i in range(npz_length(path)))
    names = set(_names(path))
    found = sorted(n for n in names if PurePosixPath(n).suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{path}: no image in it; it may hold {', '.join(SUFFIXES)} files")
    table = _caption_table(path, set(found)) if _CAPTIONS in names else {}
    classes = sorted({_class(name) for name in found})
    row = {name: i for i, name in enumerate(classes)}
    return tuple(
        ImageFile(name, path, row[_class(name)], table.get(name), _text(name, names))
        for name in found
    )


def other_files(path: Path) -> tuple[str, ...]:
    """Return the files of a folder or zip that are no images, captions or notes, by name."""
    if path.is_file() and path.suffix.lower() == ".npz":
        return ()
    known = (*SUFFIXES, *_NOTES)
    return tuple(sorted(n for n in _names(path) if not n.lower().endswith(known)))


def contents(
    wanted: Iterable[tuple[Path, str]], *, problems: list[str] | None = None
) -> Iterator[tuple[tuple[Path, str], bytes]]:
    """Yield the bytes of files of folders and zips, opening each zip once.

    Args:
        wanted: folder or zip, and the name in it.
        problems: where those that cannot be read are told; they are then left out.

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
    """Return the bytes of a file, unless there are far more than an image has."""
    file = source / name
    size = archive.getinfo(name).file_size if archive else file.stat().st_size
    if size > LARGEST:
        raise InputError(
            f"{source}/{name}: {size:,} bytes unpacked, and no more than {LARGEST:,} are read;"
            " replace or remove it"
        )
    return archive.read(name) if archive else file.read_bytes()


def _names(path: Path) -> Iterator[str]:
    """Yield the names of all files of a folder or zip that are not hidden.

    Raises:
        InputError: if it is neither, a zip has names that lead out of it, or a name is not UTF-8.
    """
    if path.is_dir():
        names: Iterable[str] = _walk(path)
    elif path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
        outside = [n for n in names if n.startswith("/") or ".." in n.split("/")]
        if outside:
            raise InputError(
                f"{path}: {len(outside)} names lead out of the zip, such as {outside[0]}; zip the"
                " folder itself"
            )
    elif path.exists():
        raise InputError(f"{path}: neither a folder nor a zip nor an npz; give one of these")
    else:
        raise InputError(f"{path}: no such folder or file; check data.path")
    for name in names:
        if any(part.startswith((".", "__MACOSX")) for part in name.split("/")):
            continue
        if any("\ud800" <= letter <= "\udfff" for letter in name):  # bytes that are no UTF-8
            raise InputError(
                f"{path}: the file name {os.fsencode(name)!r} is not UTF-8; rename the file"
            )
        yield name


def _walk(path: Path) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be listed ({error.strerror})")

    for folder, folders, names in os.walk(path, onerror=refuse):
        folders[:] = [f for f in folders if not f.startswith(".")]
        inside = Path(folder).relative_to(path)
        for name in names:
            yield (inside / name).as_posix()


def top_folder(name: str) -> str:
    """Return the first folder of a name, or ''."""
    return name.split("/", maxsplit=1)[0] if "/" in name else ""


def _class(name: str) -> str:
    folder = top_folder(name)
    return top_folder(name.split("/", 1)[1]) if folder in SPLITS else folder


def _text(name: str, names: set[str]) -> str | None:
    beside = str(PurePosixPath(name).with_suffix(".txt"))
    return beside if beside in names else None


def _caption_table(path: Path, images: set[str]) -> Mapping[str, str]:
    ((_, data),) = contents([(path, _CAPTIONS)])
    table: dict[str, str] = {}
    for number, line in enumerate(text_of(data, f"{path}/{_CAPTIONS}").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            file, text = row["file"], row["text"]
            if not isinstance(text, str) or file not in images:
                raise TypeError
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{path}/{_CAPTIONS}:{number}: not a caption; each line is "
                '{"file": an image of this source, "text": its caption}'
            ) from None
        table[file] = " ".join(text.split())
    return table


def text_of(data: bytes, where: str) -> str:
    """Return a caption file's text.

    Raises:
        InputError: if it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text ({error.reason}); save it as UTF-8") from None
