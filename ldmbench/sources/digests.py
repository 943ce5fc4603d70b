"""The digest of a source of images: names and contents, cached so that nothing is read twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from ldmbench.canonical import digest, digest_bytes, digest_file
from ldmbench.errors import InputError
from ldmbench.plugin_files import Noun, sources
from ldmbench.sources.images.listing import list_source
from ldmbench.sources.images.members import contents, is_npz
from ldmbench.sources.images.source import Listing
from ldmbench.sources.remembered import Remembered, remembered_at

__all__ = ["file_digests", "plugin_digest", "source_digest"]


def source_digest(path: Path, cache: Path | None = None) -> str:
    """Return the digest over (relative name, sha256 of the content) of a source's files.

    Files are the images and the captions that belong to them; a zip has the digest of the folder
    it was made from, and an npz that of its bytes. Where the source lies does not matter.

    Args:
        path: folder, zip or npz.
        cache: of `Remembered`.

    Raises:
        InputError: if the source cannot be listed or a file cannot be read.
    """
    listing, known = list_source(path), remembered_at(cache)
    names = _members(path, listing)
    if path.is_dir():
        found = {name: _digests(path / at, known)[""] for name, at in names.items()}
    else:
        inside = _digests(path, known, sorted(names.values()))
        found = {name: inside[at] for name, at in names.items()}
    known.save()
    if not listing.plain:  # what was made of the names belongs to the answer
        found[""] = digest([[f.name, f.split, f.label] for f in listing.files])
    return digest(found)


def file_digests(files: Iterable[Path], cache: Path | None = None) -> dict[Path, str]:
    """Return the sha256 of each file's content; `cache` and errors as in `source_digest`."""
    known = remembered_at(cache)
    found = {file: _digests(file, known)[""] for file in files}
    known.save()
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


def _members(path: Path, listing: Listing) -> dict[str, str]:
    """Return name -> what it is called of all files that tell; an npz is one member, ''."""
    if is_npz(path):
        return {"": ""}
    named = {file.name: file.at for file in listing.files}
    for file in listing.files:
        if file.text:
            suffix = PurePosixPath(file.text).suffix
            named[str(PurePosixPath(file.name).with_suffix(suffix))] = file.text
    return {**named, **listing.tables}


def _digests(file: Path, known: Remembered, inside: Sequence[str] = ("",)) -> dict[str, str]:
    """Return the digest of a file, under '', or of the members of a zip."""
    found = known.of(file)
    if not set(inside) <= set(found.digests):
        try:
            if list(inside) == [""]:
                read = {"": digest_file(file)}
            else:
                bytes_of = contents((file, name) for name in inside)
                read = {name: digest_bytes(data) for (_, name), data in bytes_of}
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror}); remove it") from None
        known.learn(found, digests=read)
    return found.digests
