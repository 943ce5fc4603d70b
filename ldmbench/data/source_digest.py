"""The digest of a source of images: names and contents, cached so that nothing is read twice."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from ldmbench.canonical import digest, digest_bytes, digest_file
from ldmbench.data.listing import contents, list_images
from ldmbench.errors import InputError
from ldmbench.plugins import Noun, sources

__all__ = ["Stamp", "file_digests", "plugin_digest", "source_digest", "stamp_of"]

Stamp = tuple[int, ...]
_SETTLED_NS = 2_000_000_000


def stamp_of(file: Path) -> Stamp:
    """Return what tells a file from any other that lay or will lie at its path, links followed.

    Device, inode, size, and both times in nanoseconds: contents can be changed under an equal size
    and modification time, but not without moving the time of the inode's change.

    Raises:
        OSError: it is not there.
    """
    at = file.stat()
    return (at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns)


def source_digest(path: Path, cache: Path | None = None) -> str:
    """Return the digest over (relative name, sha256 of the content) of a source's files.

    Files are the images and the captions that belong to them; a zip has the digest of the folder
    it was made from, and an npz that of its bytes. Where the source lies does not matter.

    Args:
        path: folder, zip or npz.
        cache: a JSON file that remembers contents' digests by `stamp_of`; made if it is missing,
            made anew if it is damaged. Files changed within the last two seconds are not
            remembered, since they could change again unseen.

    Raises:
        InputError: if the source cannot be listed or a file cannot be read.
    """
    known = _read(cache)
    names = _members(path)
    if path.is_dir():
        found = {name: _digests(path / name, known)[""] for name in names}
    else:
        found = _digests(path, known, names)
    _write(cache, known)
    return digest(found)


def file_digests(files: Iterable[Path], cache: Path | None = None) -> dict[Path, str]:
    """Return the sha256 of each file's content; `cache` and errors as in `source_digest`."""
    known = _read(cache)
    found = {file: _digests(file, known)[""] for file in files}
    _write(cache, known)
    return found


def plugin_digest(
    name: str,
    folder: Path,
    cache: Path | None = None,
    *,
    noun: Noun,
    files: Sequence[str] = (),
) -> str:
    """Return the digest of the source of code of a user's own, and of further files.

    Args:
        name: module:name, or an entry point.
        folder: of the suite file; `files` are relative to it.
        cache: as in `source_digest`.
        noun: what the code is to be.
        files: weights and helpers whose contents belong to it.

    Raises:
        InputError: there is no such code, or a file cannot be read.
    """
    found = sources(name, folder, noun)
    known = file_digests([*found.values(), *(folder / f for f in files)], cache)
    return digest(
        {
            "source": {title: known[file] for title, file in found.items()},
            "files": {f: known[folder / f] for f in files},
        }
    )


_Known = dict[str, tuple[Stamp, dict[str, str]]]  # path: stamp, name inside: sha256


def _members(path: Path) -> list[str]:
    """Name the images and captions of a folder or zip; an npz is one member, ''."""
    files = list_images(path)
    if path.suffix.lower() == ".npz" and path.is_file():
        return [""]
    names = {f.name for f in files} | {f.text for f in files if f.text}
    if any(f.caption is not None for f in files):
        names.add("captions.jsonl")
    return sorted(names)


def _digests(file: Path, known: _Known, inside: Sequence[str] = ("",)) -> dict[str, str]:
    """Return the digest of a file, under '', or of the members of a zip."""
    try:
        before = stamp_of(file)
        row = known.get(str(file.absolute()))
        if row and row[0] == before and set(row[1]) == set(inside):
            return row[1]
        if list(inside) == [""]:
            found = {"": digest_file(file)}
        else:
            read = contents((file, name) for name in inside)
            found = {name: digest_bytes(data) for (_, name), data in read}
        after = stamp_of(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); remove it") from None
    if before == after and time.time_ns() - max(after[-2:]) > _SETTLED_NS:
        known[str(file.absolute())] = (after, found)
    return found


def _read(cache: Path | None) -> _Known:
    try:
        rows = json.loads(cache.read_text()) if cache else {}
        return {
            path: (tuple(map(int, stamp)), dict(found)) for path, (stamp, found) in rows.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(cache: Path | None, known: _Known) -> None:
    if cache is None or _read(cache) == known:
        return
    cache.parent.mkdir(parents=True, exist_ok=True)
    fresh = cache.with_name(f"{cache.name}.{os.getpid()}")
    fresh.write_text(json.dumps(known))
    fresh.replace(cache)
