"""Images of a source -> batches: read, cropped, resized, with captions and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ldmbench.data.batch import Batch
from ldmbench.data.regions import fitted_regions
from ldmbench.data.resize import prepare, recipe
from ldmbench.errors import InputError
from ldmbench.sources.images.source import ImageFile, RegionFacts, Source

__all__ = ["read_images"]


def read_images(
    source: Source,
    files: Sequence[ImageFile],
    *,
    resolution: int,
    crop: str,
    resize: str,
    upscale: bool = False,
    shown: RegionFacts | None = None,
) -> Batch:
    """Read, crop and resize images.

    Args:
        source: that holds them.
        files: of its listing.
        resolution: side of the result in pixels.
        crop: a row of resize.CROPS.
        resize: a row of resize.RESIZES.
        upscale: whether images smaller than the resolution may be enlarged.
        shown: what is known of boxes or maps; None: none are read.

    Returns:
        images uint8 NHWC, captions ("" where there is none), labels; boxes, their classes and
        masks as `fitted_regions` has them.

    Raises:
        InputError: naming the first image that cannot be read, is not an ordinary 8-bit picture,
            or is too small.
    """
    recipe(crop, resize)  # unknown names are not the first file's fault
    images = np.empty((len(files), resolution, resolution, 3), dtype=np.uint8)
    sizes = []
    for i, picture in enumerate(source.pictures(files)):
        try:
            sizes.append(picture.shape[:2])
            images[i] = prepare(picture, resolution, crop=crop, resize=resize, upscale=upscale)
        except InputError as error:
            raise InputError(f"{files[i].where}: {error}") from None
    return Batch(
        images=images,
        captions=source.captions(files) or ("",) * len(files),
        labels=np.array([f.label for f in files], dtype=np.int64),
        **_regions(source, files, sizes, shown, resolution=resolution, crop=crop),
    )


def _regions(
    source: Source,
    files: Sequence[ImageFile],
    sizes: Sequence[tuple[int, ...]],
    shown: RegionFacts | None,
    *,
    resolution: int,
    crop: str,
) -> dict[str, Any]:
    """Return the parts of a batch that say what is where; none where nothing is known of it."""
    if shown is None:
        return {}
    found = fitted_regions(
        source.regions(files), sizes, resolution=resolution, crop=crop, most=shown.most
    )
    parts = {"boxes": found.boxes, "box_labels": found.labels}
    return {**parts, "masks": found.maps} if shown.maps else parts
