"""What a source of images holds, every picture decoded: sizes, lossy files, and what is damaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from ldmbench.canonical import digest_bytes
from ldmbench.errors import InputError
from ldmbench.sources.images.decode import decode, npz_rows, npz_shape, size_of
from ldmbench.sources.images.listing import LOSSY, list_source
from ldmbench.sources.images.members import SUFFIXES, contents, is_npz, suffix_of
from ldmbench.sources.images.rows import text_of
from ldmbench.sources.images.source import ImageFile, Inspection, Listing
from ldmbench.sources.remembered import Remembered, Size, remembered_at

__all__ = [
    "DECODED",
    "check_images",
    "inspect_images",
    "refuse_unusable",
    "unfit_sizes",
    "whole_split",
]

DECODED = 512 * 2**20
"""Bytes of images up to which a plan decodes them; of more it reads the headers."""
MOST_SHOWN = 1000


def inspect_images(path: Path) -> Inspection:
    """Decode every image of a folder, zip or npz and say what is there.

    Raises:
        InputError: if the source cannot be listed, or holds splits of a dataset.
    """
    listing = list_source(path)
    files = listing.files
    found = Inspection(
        names=(*(f.name for f in files), *listing.unread),
        left_out=listing.left_out,
        remarks=listing.remarks,
        problems=_unread(path, listing),
        split=whole_split(path, files),
    )
    found.captions = sum(f.text is not None or f.caption is not None for f in files)
    found.lossy = sum(suffix_of(name) in LOSSY for name in found.names)
    if is_npz(path):
        rows = npz_rows(path, range(len(files)), checked=True)
        for name, pixels in zip(found.names, rows, strict=True):
            found.digests[name] = digest_bytes(pixels.tobytes())
            found.sizes[pixels.shape[1], pixels.shape[0]] += 1
        return found
    names = {f.at: f.name for f in files}
    for (_, at), data in contents([(path, at) for at in names], problems=found.problems):
        name = names[at]
        try:
            pixels = decode(data, f"{path}/{at}")
        except InputError as error:
            found.problems.append(str(error))
            continue
        found.digests[name] = digest_bytes(data)
        found.sizes[pixels.shape[1], pixels.shape[0]] += 1
    return found


def whole_split(path: Path, files: Sequence[ImageFile]) -> Literal["train", "all"]:
    """Return the split that all images of a source are in, as stages have it.

    Raises:
        InputError: they are in several.
    """
    splits = {f.split for f in files}
    if len(splits) > 1:
        named = ", ".join(sorted(splits - {""}))
        raise InputError(
            f"{path}: holds the splits {named}; unpack it if it is a zip, and name the folder or"
            " files of one of them"
        )
    return "all" if splits & {"validation", "reference", "test"} else "train"


def check_images(
    path: Path, cache: Path | None = None, *, resolution: int, crop: str, upscale: bool
) -> None:
    """Refuse a source of which a run could not use every image, naming all that it could not.

    Images of up to DECODED bytes are decoded, of larger sources the headers are read; what was
    found once is remembered.

    Args:
        path: folder, zip or npz.
        cache: of `Remembered`.
        resolution: to which images are brought.
        crop: how they are cropped.
        upscale: whether smaller ones may be enlarged.

    Raises:
        InputError: with a line for each image.
    """
    listing, known = list_source(path), remembered_at(cache)
    problems = _unread(path, listing)
    sizes = _sizes(path, listing, known, problems)
    problems += unfit_sizes(sizes, resolution=resolution, crop=crop, upscale=upscale)
    _check_texts(path, listing, known, problems)
    known.save()
    refuse_unusable(path, len(listing.files) + len(listing.unread), problems)


def unfit_sizes(
    sizes: Iterable[tuple[str, Size]], *, resolution: int, crop: str, upscale: bool
) -> list[str]:
    """Return a sentence for each image, named as errors call it, whose size does not do."""
    problems = []
    for name, (width, height) in sizes:
        if min(width, height) < resolution and not upscale:
            problems.append(
                f"{name}: {width} x {height} pixels, smaller than the {resolution} of the dataset;"
                " remove it, or set upscale: true"
            )
        elif crop == "none" and width != height:
            problems.append(f"{name}: {width} x {height} pixels, but crop: none takes squares only")
    return problems


def refuse_unusable(path: Path, total: int, problems: Sequence[str]) -> None:
    """Refuse a source of `total` images that has problems, each a line of one error."""
    if problems:
        more = f"\n  and {len(problems) - MOST_SHOWN:,} more" if len(problems) > MOST_SHOWN else ""
        listed = "".join(f"\n  {problem}" for problem in problems[:MOST_SHOWN])
        raise InputError(
            f"{path}: {len(problems):,} of {total:,} images cannot be used; mend or remove:"
            f"{listed}{more}"
        )


def _unread(path: Path, listing: Listing) -> list[str]:
    return [
        f"{path}/{name}: {suffix_of(name)} files are not read, only {', '.join(SUFFIXES)}; save"
        " each picture in one of these, or remove it"
        for name in listing.unread
    ]


def _sizes(
    path: Path, listing: Listing, known: Remembered, problems: list[str]
) -> Iterator[tuple[str, Size]]:
    """Yield each image that can be read, as errors call it, with its width and height."""
    names = [file.at for file in listing.files]
    if is_npz(path):
        _, height, width, _ = npz_shape(path)
        yield f"{path}: every image", (width, height)
        return
    packed = None if path.is_dir() else known.of(path)
    at = {name: (path / name, "") if packed is None else (path, name) for name in names}
    found, fresh = {}, []
    for name, (file, inside) in at.items():
        try:
            found[name] = packed or known.of(file)
        except InputError as error:
            problems.append(str(error))
            continue
        if inside not in found[name].sizes:
            fresh.append(name)
    size = packed.stamp[2] if packed else sum(found[name].stamp[2] for name in fresh)
    for (_, name), data in contents([(path, name) for name in fresh], problems=problems):
        try:
            seen = size_of(data, f"{path}/{name}", whole=size <= DECODED)
        except InputError as error:
            problems.append(str(error))
            continue
        inside = at[name][1]
        known.learn(found[name], digests={inside: digest_bytes(data)}, sizes={inside: seen})
    for name, row in found.items():
        if at[name][1] in row.sizes:
            yield f"{path}/{name}", row.sizes[at[name][1]]


def _check_texts(path: Path, listing: Listing, known: Remembered, problems: list[str]) -> None:
    """Add the captions that are no UTF-8; those whose digest is known were looked at before."""
    packed = None if path.is_dir() else known.of(path)
    fresh = {}
    for at in [file.text for file in listing.files if file.text]:
        try:
            found, inside = (packed, at) if packed else (known.of(path / at), "")
        except InputError as error:
            problems.append(str(error))
            continue
        if inside not in found.digests:
            fresh[at] = found, inside
    for (_, at), data in contents([(path, at) for at in fresh], problems=problems):
        try:
            text_of(data, f"{path}/{at}")
        except InputError as error:
            problems.append(str(error))
            continue
        found, inside = fresh[at]
        known.learn(found, digests={inside: digest_bytes(data)})
