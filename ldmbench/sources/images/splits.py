"""Which images of a source belong to which split, and in what order they are used."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ldmbench.canonical import digest
from ldmbench.errors import InputError
from ldmbench.registry import pick
from ldmbench.sources.images.layout import SPLITS, top_folder
from ldmbench.sources.images.source import ImageFile, Source

__all__ = ["count_split", "shard_images", "split_images"]

_RANKS = 2**17
"""Names whose digests a process keeps, since each split of a source is drawn by them."""


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
        if files and not pool:
            named = ", ".join(sorted({f.split for f in files}))
            raise InputError(
                f"{source}: all {len(files):,} images are of {named} by their names, such as"
                f" {files[0].name}, and none is left for training; add training images, or name"
                " the folder of the images itself"
            )
        apart = sorted({top_folder(f.name) for f in files if f.split not in ("", "train")})
        beside = f" beside {', '.join(f'{name}/' for name in apart)}" if apart else ""
        raise InputError(
            f"{source}: {len(pool)} images{beside} cannot give {first} for reference and "
            f"{second - first} for validation and leave one for training; ask for fewer"
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
    return tuple(sorted(files, key=lambda f: _rank(f.name)))


@lru_cache(maxsize=_RANKS)
def _rank(name: str) -> str:
    return digest(name)


def count_split(source: Source, split: str, *, reference: int, validation: int) -> int:
    """Return how many images one split of a source holds.

    Raises:
        InputError: the source cannot be listed; or as `split_images`.
    """
    files = source.listing().files
    return len(split_images(files, split, reference=reference, validation=validation))
