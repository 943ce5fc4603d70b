"""The dataset kind `webdataset`: tar files whose samples are members of one key."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ldmbench.errors import InputError
from ldmbench.registry import nearest
from ldmbench.sources.images.disk import DiskImages, Found, Payload, Place, some
from ldmbench.sources.images.layout import split_of
from ldmbench.sources.images.members import LARGEST, SUFFIXES
from ldmbench.sources.images.rows import captions_in, text_of
from ldmbench.sources.images.source import ImageFile
from ldmbench.sources.kinds.shards import Rows, Shard, shards_at

__all__ = ["TarImages", "open_webdataset"]

OPEN = 32
"""Tar files kept open at once."""
_TEXTS = ("txt", "text", "caption")
_CLASSES = ("cls", "cls.txt")
_READ = (*_TEXTS, *_CLASSES, "json")
_BLOCK = 512


def open_webdataset(path: Path, options: Mapping[str, Any]) -> TarImages:
    """Return the images of tar files; the fields of WebdatasetData are options."""
    return TarImages(path, options.get("image"), options.get("caption"), options.get("label"))


@dataclass(frozen=True)
class TarImages(DiskImages):
    """Images of tar files, as webdataset and img2dataset write them.

    A sample is the members, one after the other, that have a name up to the first dot after the
    last slash; what follows the dot is the field.

    Attributes:
        path: a tar, or a folder of them.
        image: the field of the image; None: the only one that is a suffix of images.
        caption: the field, or a key of the json; None: txt, else text or caption of the json.
        label: likewise; None: cls, else label or class of the json.
    """

    image: str | None = None
    caption: str | None = None
    label: str | None = None

    def find(self) -> Found:
        """Read the names of all members, and the small ones that tell of images."""
        shards, folders = shards_at(self.path, (".tar",), "tar files, or a folder of them")
        rows, remarks = Rows(self.path, shards=shards), _Remarks()
        for shard in shards:
            for sample in _samples(shard, [name for name in (self.caption, self.label) if name]):
                self._add(rows, shard, sample, remarks)
        if remarks.bare:
            names = [name for name, _ in remarks.bare]
            fields = sorted({found for _, found in remarks.bare})
            raise InputError(
                f"{self.path}: {len(names):,} samples have no image, such as {some(names)} (fields"
                f" {some(fields, 6)}); allowed: one of {', '.join(SUFFIXES)} in each sample"
            )
        self._refuse_unknown(remarks)
        files = tuple(shard.file for shard in shards)
        labelled = any(label is not None for label in rows.labels)
        return rows.found(files, folders, remarks.said(labelled=labelled))

    def payloads(self, files: Sequence[ImageFile]) -> Iterator[Payload]:
        """Yield the bytes of each image."""
        places, opened = self.found().places, dict[Path, IO[bytes]]()
        try:
            for file in files:
                tar, start, size = places[file.name]
                if tar not in opened:
                    while len(opened) >= OPEN:
                        opened.pop(next(iter(opened))).close()
                    opened[tar] = tar.open("rb")
                opened[tar].seek(start)
                data = opened[tar].read(size)
                yield data if len(data) == size else _cut_off(tar, file.at)
        finally:
            for tar_file in opened.values():
                tar_file.close()

    def _add(self, rows: Rows, shard: Shard, sample: _Sample, remarks: _Remarks) -> None:
        where = f"{shard.file}/{sample.key}"
        field_ = self._image(sample, where)
        fields = _json(sample.texts.get("json"), where)
        remarks.fields |= {*sample.at, *fields}
        if field_ is None:
            remarks.bare.append((where, ", ".join(sample.at)))
            return
        status = fields.get("status", "success")
        if status != "success":
            raise InputError(
                f"{where}: its json says status {str(status)[:40]}, and an image is there; remove"
                " the sample, or fetch it again"
            )
        caption = _first(sample, self.caption, _TEXTS) or fields.get(self.caption or "")
        if caption is None and self.caption is None:
            caption = captions_in(fields, where) or None
        label = _first(sample, self.label, _CLASSES) or fields.get(self.label or "")
        if label is None and self.label is None:
            label = next((fields[k] for k in ("label", "class") if fields.get(k) is not None), None)
        read = (field_, *_READ, self.caption, self.label)
        remarks.unread |= {name for name in sample.at if name not in read}
        inside = sample.key.split("/")[:-1]
        split = shard.split or next((s for folder in inside if (s := split_of(folder))), "")
        remarks.folders |= {folder for folder in inside[-1:] if not split_of(folder)}
        name = f"{shard.name.removesuffix('.tar')}/{sample.key}.{field_}"
        rows.add(name, sample.at[field_], split, label=label, caption=caption)

    def _refuse_unknown(self, remarks: _Remarks) -> None:
        """Refuse fields that a suite names and no sample has."""
        for place, name in (("caption", self.caption), ("label", self.label)):
            if name is not None and name not in remarks.fields:
                raise InputError(
                    f"{self.path}: no sample has the field {name} of data.{place}"
                    f"{nearest(name, sorted(remarks.fields))}; there are:"
                    f" {some(sorted(remarks.fields), 8)}"
                )

    def _image(self, sample: _Sample, where: str) -> str | None:
        if self.image:
            return self.image if self.image in sample.at else None
        found = [name for name in sample.at if f".{name}" in SUFFIXES]
        if len(found) > 1:
            raise InputError(
                f"{where}: {' and '.join(found)} are both images; name one of them in data.image"
            )
        return found[0] if found else None


@dataclass
class _Sample:
    """Members of one key: where each field lies, and the contents of those that tell."""

    key: str
    at: dict[str, Place] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


@dataclass
class _Remarks:
    bare: list[tuple[str, str]] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def said(self, *, labelled: bool) -> list[str]:
        """Return what is to be said of a data set, whose samples may have classes."""
        said, fields = list[str](), sorted(self.unread)
        if fields:
            said.append(f"fields of samples that nothing reads: {some(fields, 8)}")
        if len(self.folders) > 1 and not labelled:
            said.append(
                f"{len(self.folders):,} folders inside the tars are no classes, such as"
                f" {min(self.folders)}; a class is the .cls of a sample"
            )
        return said


def _samples(shard: Shard, named: Sequence[str]) -> Iterator[_Sample]:
    """Yield the samples of a tar; no more than one is in memory.

    Args:
        shard: the tar.
        named: fields whose contents are read beside the usual ones.
    """
    sample: _Sample | None = None
    seen: set[str] = set()
    for name, place, data in _members(shard, (*_READ, *named)):
        folder, slash, last = name.rpartition("/")
        base, dot, field_ = last.partition(".")
        if not dot or not base or "__MACOSX" in folder.split("/"):
            continue
        key, field_ = folder + slash + base, field_.lower()
        if sample is None or key != sample.key:
            if sample:
                yield sample
            if key in seen:
                raise InputError(
                    f"{shard.file}: members of {key} do not stand one after the other; write the"
                    " tar sorted by name (tar --sort=name)"
                )
            sample = _Sample(key)
            seen.add(key)
        if field_ in sample.at:
            raise InputError(f"{shard.file}: {name} is there twice; write the tar again")
        sample.at[field_] = place
        if data is not None:
            sample.texts[field_] = text_of(data, f"{shard.file}/{name}")
    if sample:
        yield sample


def _members(shard: Shard, telling: Sequence[str]) -> Iterator[tuple[str, Place, bytes | None]]:
    """Yield name, place and, of fields that tell, the content of each file of a tar."""
    _refuse_cut_off(shard.file)
    try:
        with tarfile.open(shard.file, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                name = member.name.removeprefix("./")
                if member.islnk() or member.issym():
                    raise InputError(
                        f"{shard.file}/{name}: a link to {member.linkname}, and links are not"
                        " followed; write the tar again with the files themselves"
                        " (tar --hard-dereference -h)"
                    )
                if not member.isreg():
                    continue
                tells = name.lower().endswith(tuple(f".{suffix.lower()}" for suffix in telling))
                if member.size > LARGEST:
                    raise InputError(
                        f"{shard.file}/{name}: {member.size:,} bytes, and no more than"
                        f" {LARGEST:,} are read; remove it"
                    )
                opened = tar.extractfile(member) if tells else None
                data = opened.read() if opened else None
                yield name, (shard.file, member.offset_data, member.size), data
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(
            f"{shard.file}: not a readable tar ({error}); a tar.gz is unpacked first (gunzip), a"
            " damaged one is fetched again"
        ) from None


def _refuse_cut_off(file: Path) -> None:
    """Refuse a tar without the two empty blocks at its end."""
    size = file.stat().st_size
    with file.open("rb") as tar:
        packed = tar.read(2) == b"\x1f\x8b"
        tar.seek(max(0, size - 2 * _BLOCK))
        end = tar.read()
    if size < 2 * _BLOCK or end.strip(b"\0"):
        why = "it is compressed: unpack it with gunzip" if packed else "fetch or write it again"
        raise InputError(f"{file}: a tar ends with two empty blocks, and this one does not; {why}")


def _cut_off(tar: Path, name: str) -> InputError:
    return InputError(f"{tar}: ends within {name}; fetch or write it again")


def _first(sample: _Sample, named: str | None, usual: Sequence[str]) -> str | None:
    names = [named] if named else usual
    return next((sample.texts[name] for name in names if name in sample.texts), None)


def _json(text: str | None, where: str) -> Mapping[str, object]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}.json: not readable JSON ({error}); mend or remove it") from None
    if not isinstance(found, dict):
        raise InputError(f"{where}.json: {text.strip()[:40]} is no object of fields; mend it")
    return found
