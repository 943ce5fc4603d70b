"""Windows: the centre of larger images, and the patches that judge them.

The rule of patches is `grid-HxW-in-turn`: an image of H x W training sides has a grid of H x W
patches that do not overlap, and image i is seen in patch i mod HW, counted by rows. So patches are
of independent images, their number is that of the samples, and the reference stays what it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ldmbench.data.batch import Batch, Ints, Pixels

__all__ = ["centre_of", "centred", "patches_in_turn"]


def centred(pixels: Pixels, sides: tuple[int, int]) -> Pixels:
    """Return the centre (N, height, width, ...) of larger arrays; odd rests go right and down."""
    top, left = ((have - want) // 2 for have, want in zip(pixels.shape[1:3], sides, strict=True))
    return pixels[:, top : top + sides[0], left : left + sides[1]]


def centre_of(batch: Batch, sides: tuple[int, int] | None) -> Batch:
    """Return the centre of a batch: pixels, and boxes cut at its edges; None is all of it.

    Of a box that lies outside nothing is left: it becomes an absent object.

    Args:
        batch: of images that are not smaller.
        sides: height and width, pixels.
    """
    if sides is None:
        return batch
    cut = replace(
        batch,
        images=np.ascontiguousarray(centred(batch.images, sides)),
        masks=None if batch.masks is None else np.ascontiguousarray(centred(batch.masks, sides)),
    )
    if batch.boxes is None or batch.box_labels is None:
        return cut
    have = np.array(batch.images.shape[2:0:-1], np.float64)  # width, height
    want = np.array(sides[::-1], np.float64)
    start = (have - want) // 2
    moved = (batch.boxes.astype(np.float64) * np.tile(have, 2) - np.tile(start, 2)).clip(0)
    moved = np.minimum(moved / np.tile(want, 2), 1)
    there = (batch.box_labels >= 0) & (moved[..., 2:] > moved[..., :2]).all(-1)
    boxes = np.where(there[..., None], moved, -1).astype(np.float32)
    return replace(cut, boxes=boxes, box_labels=np.where(there, batch.box_labels, -1))


def patches_in_turn(images: Pixels, indices: Ints, grid: tuple[int, int]) -> Pixels:
    """Return one patch of each image, uint8 (N, H / rows, W / columns, 3), by the rule above.

    Args:
        images: uint8 NHWC.
        indices: int64 (N,), which samples they are.
        grid: rows and columns of patches.

    Examples:
        >>> rows = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1).repeat(5, 0)
        >>> patches_in_turn(rows, np.arange(5), (2, 2)).ravel().tolist()
        [0, 1, 2, 3, 0]
    """
    rows, columns = grid
    height, width = images.shape[1] // rows, images.shape[2] // columns
    out = np.empty((len(images), height, width, images.shape[3]), np.uint8)
    for image, index, patch in zip(images, indices, out, strict=True):
        row, column = divmod(int(index) % (rows * columns), columns)
        top, left = row * height, column * width
        patch[:] = image[top : top + height, left : left + width]
    return out
