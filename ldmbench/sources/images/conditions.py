"""What the images that a plan uses of a source tell a model: captions and classes."""

from __future__ import annotations

from ldmbench.schema.data import ImageConditions
from ldmbench.sources.images.source import Source, classes_of
from ldmbench.sources.images.splits import shard_images, split_images

__all__ = ["conditions_of"]


def conditions_of(
    source: Source, *, reference: int, validation: int, train: int | None, prompts: int
) -> ImageConditions:
    """Return what training images and prompts say; no picture is opened.

    Args:
        source: images on disk.
        reference: images held out for reference, where they have no folder of their own.
        validation: likewise.
        train: how many are trained on; None: nothing is trained.
        prompts: how many samples are asked for.

    Raises:
        InputError: the source cannot be listed, split, or its captions read.
    """
    files = source.listing().files
    kept = {"reference": reference, "validation": validation}
    held = split_images(files, "validation", **kept)
    shown = held and shard_images(
        files, "prompts", (0, min(prompts, len(held))), mixed=True, **kept
    )
    seen = () if train is None else shard_images(files, "train", (0, train), mixed=True, **kept)
    return ImageConditions(
        trained=len(seen),
        captioned=sum(bool(f.text or f.caption) for f in seen),
        classes=tuple(sorted({f.label for f in seen if f.label >= 0})),
        classless=sum(f.label < 0 for f in seen),
        prompts=(source.captions(shown) or ("",) * len(shown)) if shown else (),
        held_out=tuple(f.label for f in held),
        all_classes=classes_of(files),
    )
