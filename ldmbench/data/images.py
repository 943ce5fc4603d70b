"""Images of a source -> batches: read, cropped, resized, with captions and labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ldmbench.data.batch import Batch
from ldmbench.data.resize import prepare, recipe
from ldmbench.errors import InputError
from ldmbench.sources.images.source import ImageFile, Source

__all__ = ["read_images"]


def read_images(
    source: Source,
    files: Sequence[ImageFile],
    *,
    resolution: int,
    crop: str,
    resize: str,
    upscale: bool = False,
) -> Batch:
    """Read, crop and resize images.

    Args:
        source: that holds them.
        files: of its listing.
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
    for i, picture in enumerate(source.pictures(files)):
        try:
            images[i] = prepare(picture, resolution, crop=crop, resize=resize, upscale=upscale)
        except InputError as error:
            raise InputError(f"{files[i].where}: {error}") from None
    return Batch(
        images=images,
        captions=source.captions(files) or ("",) * len(files),
        labels=np.array([f.label for f in files], dtype=np.int64),
    )
