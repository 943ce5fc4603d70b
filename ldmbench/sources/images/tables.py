"""Files of a source that tell captions and classes of many images at once.

- captions.jsonl: {"file": NAME, "text": CAPTION} a line.
- metadata.jsonl, .csv, .parquet: Hugging Face's ImageFolder; folders are then no classes.
- dataset.json: StyleGAN's and EDM's {"labels": [[NAME, CLASS], ...]} or null; likewise.
- captions_*.json: COCO's.

Names are relative to the folder of the file, which tells of the images below it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sources.images.members import Members, contents, spelled
from ldmbench.sources.images.rows import (
    NAMES,
    TEXTS,
    captions_in,
    class_in,
    name_in,
    rows_of,
    text_of,
)

__all__ = ["Annotations", "read_tables", "tables_in"]

CAPTIONS = "captions.jsonl"
METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
LABELS = "dataset.json"
_CLASSES = ("label", "labels", "class")
_Label = int | str | None


@dataclass
class Annotations:
    """What tables tell of images.

    Attributes:
        captions: image -> its captions, at least one.
        labels: image -> its class, of images whose folder is none; None is no class.
        used: names of the tables.
        remarks: what they hold and nothing reads.
    """

    captions: dict[str, list[str]] = field(default_factory=dict)
    labels: dict[str, _Label] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def tables_in(members: Members) -> list[str]:
    """Return the names of files that may be tables."""
    return [name for name in members.at if _kind(name)]


def read_tables(path: Path, members: Members, images: Collection[str]) -> Annotations:
    """Read the tables of a folder or zip.

    Raises:
        InputError: naming the line that is malformed, or what names no image.
    """
    annotations, there = Annotations(), tables_in(members)
    if not there:
        return annotations
    texts = {
        name: data
        for name, (_, data) in zip(
            there, contents((path, members.at[name]) for name in there), strict=True
        )
    }
    governed = _governed(path, [n for n in there if _kind(n) == "metadata"], images)
    for name, data in texts.items():
        kind, where = _kind(name), f"{path}/{members.at[name]}"
        if kind == "captions":
            _captions(annotations, data, where, _Below(name, images))
        elif kind == "metadata":
            _metadata(annotations, data, where, _Below(name, governed[name]))
        elif kind == "coco":
            _coco(annotations, data, where, images)
        elif not _labels(annotations, data, where, _Below(name, images)):
            continue
        annotations.used.append(name)
    return annotations


@dataclass(frozen=True)
class _Below:
    """The images that a table tells of, and what they are called in it."""

    table: str
    images: Collection[str]

    def find(self, name: str) -> str | None:
        """Return the image that the table names so, or None."""
        full = spelled(str(PurePosixPath(self.table).parent / name))
        return full if full in self.images else None


def _kind(name: str) -> str:
    last = PurePosixPath(name).name
    if last == CAPTIONS:
        return "captions"
    if last in METADATA:
        return "metadata"
    if last == LABELS:
        return "labels"
    return "coco" if last.startswith("captions_") and last.endswith(".json") else ""


def _governed(
    path: Path, tables: Sequence[str], images: Collection[str]
) -> Mapping[str, Collection[str]]:
    """Return metadata file -> the images it tells of: those to which no other is nearer."""
    folders: dict[str, str] = {}
    for table in tables:
        folder = str(PurePosixPath(table).parent)
        if folder in folders:
            raise InputError(
                f"{path}: {folders[folder]} and {table} both tell of one folder; keep one of them"
            )
        folders[folder] = table
    found: dict[str, set[str]] = {table: set() for table in tables}
    if tables:
        for image in images:
            above = (str(p) for p in PurePosixPath(image).parents)
            nearest = next((folder for folder in above if folder in folders), None)
            if nearest is not None:
                found[folders[nearest]].add(image)
    return found


def _captions(annotations: Annotations, data: bytes, where: str, below: _Below) -> None:
    for place, row in rows_of(data, where):
        name, texts = name_in(row, place), captions_in(row, place)
        image = below.find(name) if name is not None else None
        if name is not None and texts and image is None:
            raise InputError(
                f"{place}: no image of this source is called {name}; names are relative to the"
                f" folder of {PurePosixPath(where).name}, and letters count as they are written"
            )
        if image is None or not texts:
            raise InputError(
                f"{place}: not a caption; each line is"
                ' {"file": an image of this source, "text": its caption}'
            )
        annotations.captions.setdefault(image, []).extend(texts)


def _metadata(annotations: Annotations, data: bytes, where: str, below: _Below) -> None:
    lost, seen, columns = [], set(), set()
    for place, row in rows_of(data, where):
        if not isinstance(row.get("file_name"), str):
            raise InputError(
                f"{place}: no file_name, but {', '.join(map(str, row))[:60]}; each row of"
                f" {PurePosixPath(where).name} names its image by file_name, relative to this file"
                f"{', and commas separate the columns of a CSV' if where.endswith('.csv') else ''}"
            )
        columns |= set(row)
        image = below.find(spelled(row["file_name"]))
        if image is None:
            lost.append(row["file_name"])
            continue
        texts, label = captions_in(row, place), _label(row, place)
        if texts:
            annotations.captions.setdefault(image, []).extend(texts)
        if image in seen and annotations.labels[image] != label:
            raise InputError(f"{place}: {row['file_name']} has two labels; keep one of them")
        seen.add(image)
        annotations.labels[image] = label
    if lost:
        raise InputError(
            f"{where}: {len(lost)} rows name no image of this source, such as {lost[0]}; add the"
            " images or remove the rows"
        )
    _refuse_unnamed(where, sorted(set(below.images) - seen))
    other = sorted(columns - {*NAMES, *TEXTS, *_CLASSES})
    if other:
        annotations.remarks.append(
            f"columns of {below.table} that nothing reads: {', '.join(other)}"
        )


def _label(row: Mapping[str, object], where: str) -> _Label:
    found = [row[key] for key in _CLASSES if row.get(key) not in (None, "")]
    if not found:
        return None
    value = class_in(found[0][0] if isinstance(found[0], list) and len(found[0]) == 1 else found[0])
    if value is None and len(found) == 1:
        return None
    if len(found) > 1 or isinstance(value, bool) or not isinstance(value, int | str):
        raise InputError(
            f"{where}: its class is {found}; one number or name an image is read, in the column"
            " label"
        )
    return value


def _labels(annotations: Annotations, data: bytes, where: str, below: _Below) -> bool:
    """Read StyleGAN's dataset.json; return whether it is one."""
    held = _parsed(data, where)
    if not isinstance(held, dict) or "labels" not in held:
        return False
    inside = below.table.removesuffix(LABELS)
    mine = [image for image in below.images if image.startswith(inside)]
    if held["labels"] is None:
        annotations.labels.update(dict.fromkeys(mine))
        return True
    rows: dict[str, int] = {}
    for name, label in _pairs(held["labels"], where):
        if isinstance(label, bool) or not isinstance(label, int) or label < 0:
            raise InputError(
                f"{where}: the label of {name} is {str(label)[:60]}; labels that are no class"
                " numbers are not read"
            )
        if rows.setdefault(spelled(inside + name), label) != label:
            raise InputError(f"{where}: {name} has two labels; keep one of them")
    _refuse_unnamed(where, [image for image in mine if image not in rows])
    absent = len(rows) - len(mine)
    if absent:
        annotations.remarks.append(
            f"{absent:,} labels of {below.table} are of images that are not there"
        )
    annotations.labels.update({image: rows[image] for image in mine})
    return True


def _pairs(labels: object, where: str) -> Iterator[tuple[str, Any]]:
    for pair in labels if isinstance(labels, list) else [None]:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise InputError(
                f'{where}: labels are {{"labels": [[NAME, CLASS], ...]}}, found {str(pair)[:60]}'
            )
        yield pair[0], pair[1]


def _coco(annotations: Annotations, data: bytes, where: str, images: Collection[str]) -> None:
    """Read COCO's captions, whose images are named without their folder."""
    held = _parsed(data, where)
    try:
        names = {row["id"]: row["file_name"] for row in held["images"]}
        rows = [(names[row["image_id"]], row["id"], row["caption"]) for row in held["annotations"]]
        rows.sort(key=lambda row: row[1])
        if not all(isinstance(caption, str) for _, _, caption in rows):
            raise TypeError("a caption that is no text")
    except (KeyError, TypeError):
        raise InputError(
            f"{where}: not COCO's captions, which are images (id, file_name) and annotations"
            " (id, image_id, caption); remove or rename it if it is something else"
        ) from None
    by_name: dict[str, list[str]] = defaultdict(list)
    for image in images:
        by_name[PurePosixPath(image).name].append(image)
    absent = 0
    for name, _, caption in rows:
        found = by_name.get(PurePosixPath(spelled(name)).name, [])
        if len(found) > 1:
            raise InputError(f"{where}: {name} may be {found[0]} or {found[1]}; keep one of them")
        absent += not found
        for image in found:
            annotations.captions.setdefault(image, []).append(" ".join(str(caption).split()))
    if absent:
        annotations.remarks.append(
            f"{absent:,} captions of {PurePosixPath(where).name} are of images that are not there"
        )


def _refuse_unnamed(where: str, images: Sequence[str]) -> None:
    if images:
        raise InputError(
            f"{where}: {len(images)} images are not named in it, such as {images[0]}; add rows for"
            " them or remove them"
        )


def _parsed(data: bytes, where: str) -> Any:
    try:
        return json.loads(text_of(data, where))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: not readable JSON ({error}); mend or remove it") from None
