"""What a folder, zip or npz of images holds: names, splits, classes, captions, what is left out.

No picture is opened. docs/data.md has a table of the layouts that are read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ldmbench.canonical import Stamp, stamp_of
from ldmbench.errors import InputError
from ldmbench.sources.images.decode import npz_labels, npz_unread
from ldmbench.sources.images.layout import SPLITS, Places, is_sharded, places_of, top_folder
from ldmbench.sources.images.members import PICTURES, SUFFIXES, is_npz, members_of, suffix_of
from ldmbench.sources.images.remarks import (
    both,
    first_class,
    instead,
    masks,
    may_tell,
    not_listed,
    numbered_folders,
    orphans,
    unused,
)
from ldmbench.sources.images.source import ImageFile, Listing, classes_of
from ldmbench.sources.images.tables import Annotations, read_tables, tables_in
from ldmbench.sources.remembered import is_settled

__all__ = [
    "LOSSY",
    "by_prefix",
    "list_images",
    "list_source",
    "refuse_classes",
]

LOSSY = (".jpg", ".jpeg", ".webp")
_TEXTS = (".txt", ".caption")


_MOST_CLASSES = 1_000_000
_MOST_KNOWN = 4
_KNOWN: dict[tuple[Path, str], tuple[dict[Path, Stamp | None], Listing]] = {}


def list_images(path: Path, labels: str = "folder") -> tuple[ImageFile, ...]:
    """List the images of a source by name; as `list_source`."""
    return list_source(path, labels).files


def list_source(path: Path, labels: str = "folder") -> Listing:
    """List what a folder, zip or npz holds; no picture is opened.

    A process lists a source anew only if a folder of it, or a file that tells of its images, has
    changed.

    A folder or zip holds png, jpg, jpeg, webp and bmp files at any depth. An npz holds arr_0
    (uint8 NHWC) and perhaps arr_1 (labels).

    Args:
        path: folder, zip or npz.
        labels: "folder" for classes by folders or files of classes, "name" by `by_prefix`.

    Raises:
        InputError: if there is no such source, no image in it, what tells of its images is
            malformed, or images of an npz are to have classes by name.
    """
    known = _KNOWN.get((path, labels))
    if known and all(_stamp(file) == stamp for file, stamp in known[0].items()):
        return known[1]
    stamps, listing = _listed(path)
    if labels == "name":
        if is_npz(path):
            raise InputError(f"{path}: images of an npz have no names; leave labels: name out")
        bare = [f.name for f in listing.files if "_" not in PurePosixPath(f.name).name]
        remarks = listing.remarks
        if bare:
            remarks += (
                f"{len(bare):,} names of images have no _, such as {bare[0]}: each whole name is a"
                " class",
            )
        listing = replace(listing, files=by_prefix(listing.files), remarks=remarks)
    refuse_classes(path, listing.files)
    _KNOWN.pop((path, labels), None)
    if path.is_absolute() and all(stamp and is_settled(stamp) for stamp in stamps.values()):
        while len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.pop(next(iter(_KNOWN)))
        _KNOWN[path, labels] = (stamps, listing)
    return listing


def refuse_classes(path: Path, files: Sequence[ImageFile]) -> None:
    """Refuse numbers of classes that are none, such as ids of images."""
    count = classes_of(files)
    if count > _MOST_CLASSES:
        raise InputError(
            f"{path}: a class has the number {count - 1}; classes are numbered from 0, and no more"
            f" than {_MOST_CLASSES:,} are read"
        )


def _listed(path: Path) -> tuple[dict[Path, Stamp | None], Listing]:
    """Return what a source holds, and the stamps of all that says so, taken before."""
    if is_npz(path):
        stamp = _stamp(path)
        rows = enumerate(npz_labels(path))
        files = [ImageFile(f"{i:08d}", path, n, at=f"{i:08d}") for i, n in rows]
        said = [
            f"the array {name} is not read; classes are arr_1 (numpy.savez(path, images, labels))"
            for name in npz_unread(path)
        ]
        remarks = (*said, *first_class([file.label for file in files]))
        return {path: stamp}, Listing(tuple(files), remarks=remarks)
    members = members_of(path)
    stamps: dict[Path, Stamp | None] = dict(members.stamps)
    names = {name: None for name in members.at if suffix_of(name) in SUFFIXES}
    other = [name for name in members.at if name not in names]
    if not names:
        why = "; ".join(not_listed(members)) or instead(other)
        raise InputError(f"{path}: no image in it; {why}")
    if path.is_dir():
        stamps |= {path / members.at[n]: _stamp(path / members.at[n]) for n in tables_in(members)}
    annotations, places, beside = (
        read_tables(path, members, names),
        places_of(path, names),
        _beside(other),
    )
    labels, remarks = _labels(names, places, annotations)
    texts = {name: _text(path, name, beside) for name in names}
    files = [
        ImageFile(
            name[len(places.top) :],
            path,
            label=labels[name],
            caption=annotations.captions.get(name, [None])[0],
            text=members.at[text] if (text := texts[name]) else None,
            split=places.split[name],
            at=members.at[name],
        )
        for name in names
    ]
    used = {*annotations.used, *(text for text in texts.values() if text)}
    unread = tuple(n for n in other if suffix_of(n) in PICTURES)
    return stamps, Listing(
        tuple(sorted(files, key=lambda file: file.name)),
        {name.removeprefix(places.top): members.at[name] for name in annotations.used},
        unread,
        tuple(n for n in other if n not in used and may_tell(n) and n not in unread),
        (
            *remarks,
            *annotations.remarks,
            *unused(files, annotations),
            *masks(places),
            *orphans(beside, used),
            *both(files),
            *not_listed(members),
        ),
        plain=not remarks and all(f.split == _plain_split(f.name) for f in files),
    )


def _stamp(file: Path) -> Stamp | None:
    try:
        return stamp_of(file.stat())
    except OSError:
        return None


def by_prefix(files: Sequence[ImageFile]) -> tuple[ImageFile, ...]:
    """Return images whose classes are their files' names up to the first "_", sorted as text.

    So does guided-diffusion, whatever folders they lie in.
    """
    prefixes = [PurePosixPath(file.name).name.split("_")[0] for file in files]
    row = {prefix: number for number, prefix in enumerate(sorted(set(prefixes)))}
    return tuple(replace(file, label=row[p]) for file, p in zip(files, prefixes, strict=True))


def _labels(
    names: Collection[str], places: Places, annotations: Annotations
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return each image's class, and what is to be said of how it was found."""
    if annotations.labels:
        return _annotated_labels(names, annotations, places)
    folders = {name: places.folder[name] for name in names}
    pool = [name for name in names if places.split[name] == "train"]
    pool = pool or [name for name in names if not places.split[name]]
    held = [name for name in names if places.split[name] in ("validation", "reference")]
    if is_sharded([name[len(places.top) :] for name in pool]):
        return dict.fromkeys(names, 0), ("folders number the images and are no classes",)
    classes = sorted({folders[name] for name in pool} - {""})
    classes = classes or sorted({folders[name] for name in held} - {""})
    row = {folder: number for number, folder in enumerate(classes)}
    labels = {name: row.get(folders[name], -1 if classes else 0) for name in names}
    lost = [name for name in (*pool, *held) if labels[name] < 0]
    said = (*numbered_folders(row),)
    if not lost:
        return labels, said
    return labels, (
        *said,
        f"{len(lost):,} images lie in no class folder of the training images, such as {lost[0]},"
        " and have no class",
    )


def _annotated_labels(
    names: Collection[str], annotations: Annotations, places: Places
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return classes that tables tell; names of the training images alone are classes."""
    pool = "train" if "train" in places.split.values() else ""
    trained = {annotations.labels.get(name) for name in names if places.split[name] == pool}
    values = (trained - {None}) or (set(annotations.labels.values()) - {None})
    texts = sorted(str(value) for value in values if isinstance(value, str))
    said = []
    if texts and len(texts) < len(values):
        number = next(value for value in values if not isinstance(value, str))
        said.append(
            f"classes of {', '.join(annotations.used)} are names ({texts[0]}) and numbers"
            f" ({number}): all are read as names and sorted"
        )
        texts = sorted({str(value) for value in values})
    row = {text: number for number, text in enumerate(texts)}
    labels = {}
    for name in names:
        value = annotations.labels.get(name)
        known = row.get(str(value), -1) if texts or isinstance(value, str) else value
        labels[name] = (-1 if values else 0) if value is None else max(-1, int(known or 0))
    if not values:
        return labels, (
            f"{', '.join(annotations.used)} tells no classes, so folders are not classes either",
        )
    lost = [name for name in names if labels[name] < 0]
    if lost:
        said.append(f"{len(lost):,} images have no class, such as {lost[0]}")
    return labels, (*said, *first_class([*labels.values()]))


def _plain_split(name: str) -> str:
    """Return the split whose very name the top folder has."""
    return top_folder(name) if top_folder(name) in SPLITS else ""


def _beside(other: Sequence[str]) -> dict[str, list[str]]:
    """Return name without suffix -> the files of captions of that name."""
    found: dict[str, list[str]] = {}
    for name in other:
        if suffix_of(name) in _TEXTS:
            found.setdefault(str(PurePosixPath(name).with_suffix("")), []).append(name)
    return found


def _text(path: Path, name: str, beside: Mapping[str, Sequence[str]]) -> str | None:
    found = beside.get(str(PurePosixPath(name).with_suffix("")), [])
    if len(found) > 1:
        raise InputError(
            f"{path}: {' and '.join(found)} both are captions of {name}; keep one of them for each"
            " image"
        )
    return found[0] if found else None
