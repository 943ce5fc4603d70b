"""A folder, zip or npz of images as a dataset: its splits and its batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ldmbench.canonical import digest
from ldmbench.data.batch import Batch, Pixels
from ldmbench.data.decode import decode, npz_rows
from ldmbench.data.layout import SPLITS, top_folder
from ldmbench.data.listing import ImageFile, list_images
from ldmbench.data.members import SUFFIXES, contents, is_npz, suffix_of
from ldmbench.data.resize import prepare, recipe
from ldmbench.data.rows import lines_of, text_of
from ldmbench.data.source_digest import source_digest
from ldmbench.errors import InputError
from ldmbench.registry import pick

__all__ = [
    "SPLITS",
    "SUFFIXES",
    "ImageFile",
    "count_split",
    "list_images",
    "read_captions",
    "read_images",
    "shard_images",
    "source_digest",
    "split_images",
]


def split_images(
    files: Sequence[ImageFile], split: str, *, reference: int, validation: int
) -> tuple[ImageFile, ...]:
    """Return the images of one split, by name; splits share no image.

    A split with a folder of its own (train/, val/, reference/) is that folder, whole. The others
    are drawn from train/, or where there is none from the images outside those folders: in the
    order of the digests of their names, the first `reference` images are the reference, the next
    `validation` the validation split, and the rest is for training. Images of test/ are in none.

    Raises:
        InputError: if the split is unknown, a count is negative, or too few images are left.
    """
    pick({s: s for s in SPLITS}, split, "split")
    own = {s: tuple(f for f in files if f.split == s) for s in SPLITS}
    if own[split] and split != "train":
        return own[split]
    pool = _by_digest(own["train"] or tuple(f for f in files if not f.split))
    first = 0 if own["reference"] else reference
    second = first + (0 if own["validation"] else validation)
    if not 0 <= first <= second < len(pool):
        source = files[0].source if files else "the source"
        apart = sorted({top_folder(f.name) for f in files if f.split not in ("", "train")})
        beside = f" beside {', '.join(f'{name}/' for name in apart)}" if apart else ""
        advice = "ask for fewer" if pool or not apart else "name the folder of the images itself"
        raise InputError(
            f"{source}: {len(pool)} images{beside} cannot give {first} for reference and "
            f"{second - first} for validation and leave one for training; {advice}"
        )
    ends = {"reference": (0, first), "validation": (first, second), "train": (second, len(pool))}
    return tuple(sorted(pool[slice(*ends[split])], key=lambda f: f.name))


def shard_images(
    files: Sequence[ImageFile],
    split: str,
    shard: tuple[int, int],
    *,
    reference: int,
    validation: int,
    mixed: bool,
) -> tuple[ImageFile, ...]:
    """Return images [start, stop) of a split, fewer at its end.

    Args:
        files: all of the source.
        split: as in `split_images`; prompts or truth, the validation images without end; or all.
        shard: start and stop.
        reference: as in `split_images`.
        validation: likewise.
        mixed: in the order of the digests of their names, else of the names.

    Raises:
        InputError: as `split_images`; or there is no validation image.
    """
    endless = split in ("prompts", "truth")
    own = "validation" if endless else split
    kept = {"reference": reference, "validation": validation}
    found = tuple(files) if split == "all" else split_images(files, own, **kept)
    found = _by_digest(found) if mixed else found
    if not endless:
        return found[slice(*shard)]
    if not found:
        raise InputError(f"{files[0].source}: no validation image to take prompts from")
    return tuple(found[i % len(found)] for i in range(*shard))


def _by_digest(files: Sequence[ImageFile]) -> tuple[ImageFile, ...]:
    """Return images in the order of the digests of their names: the first are no one class."""
    return tuple(sorted(files, key=lambda f: digest(f.name)))


def count_split(path: Path, split: str, *, reference: int, validation: int) -> int:
    """Return how many images one split of a source holds.

    Raises:
        InputError: as `list_images` and `split_images`.
    """
    return len(split_images(list_images(path), split, reference=reference, validation=validation))


def read_captions(files: Sequence[ImageFile]) -> tuple[str, ...] | None:
    """Return the caption of each image, "" where it has none, or None if no image has one.

    Raises:
        InputError: if a caption file cannot be read as UTF-8.
    """
    if not any(f.text or f.caption is not None for f in files):
        return None
    texts = dict(contents((f.source, f.text) for f in files if f.text))
    return tuple(
        _text(texts[f.source, f.text], f.text, f"{f.source}/{f.text}")
        if f.text
        else f.caption or ""
        for f in files
    )


def _text(data: bytes, name: str, where: str) -> str:
    """Return the caption in a file: all of a .txt, the first line of a .caption, as kohya does."""
    text = text_of(data, where)
    if suffix_of(name) == ".caption":
        text = next((line for _, line in lines_of(text)), "")
    return " ".join(text.split())


def read_images(
    files: Sequence[ImageFile], *, resolution: int, crop: str, resize: str, upscale: bool = False
) -> Batch:
    """Read, crop and resize images.

    Args:
        files: from `list_images`.
        resolution: side of the result in pixels.
        crop: a row of resize.CROPS.
        resize: a row of resize.RESIZES.
        upscale: whether images smaller than the resolution may be enlarged.

    Returns:
        images uint8 NHWC, captions ("" where there is none), labels; boxes and masks are None.

    Raises:
        InputError: naming the first image that cannot be read, is not an ordinary 8-bit picture,
            or is too small.
    """
    recipe(crop, resize)  # unknown names are not the first file's fault
    images = np.empty((len(files), resolution, resolution, 3), dtype=np.uint8)
    for i, picture in enumerate(_pictures(files)):
        try:
            images[i] = prepare(picture, resolution, crop=crop, resize=resize, upscale=upscale)
        except InputError as error:
            raise InputError(f"{files[i].where}: {error}") from None
    return Batch(
        images=images,
        captions=read_captions(files) or ("",) * len(files),
        labels=np.array([f.label for f in files], dtype=np.int64),
    )


def _pictures(files: Sequence[ImageFile]) -> Iterator[Pixels]:
    """Yield uint8 HWC for each file, in order."""
    if files and is_npz(files[0].source):
        yield from npz_rows(files[0].source, [int(f.name) for f in files])
        return
    for (source, name), data in contents((f.source, f.at) for f in files):
        yield decode(data, f"{source}/{name}")
