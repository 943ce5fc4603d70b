"""Boxes and maps of classes, brought to the square that is left of a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ldmbench.data.batch import Floats, Ints, Pixels
from ldmbench.data.resize import CROPS, RESIZES
from ldmbench.sources.images.source import Regions

__all__ = ["KEPT_SHARE", "Fitted", "fitted_regions", "visible"]

KEPT_SHARE = 0.25
"""Share of a box's area that must lie in the square, else the box is left out."""


@dataclass(frozen=True)
class Fitted:
    """What is where in N square images, as `Batch` has it.

    Attributes:
        boxes: float32 (N, K, 4), x0 y0 x1 y1 in [0, 1] of the square, rows of -1 for absent ones.
        labels: int64 (N, K), -1 for absent ones.
        maps: uint8 (N, R, R), 1 + k where object k is, 0 where none is.
    """

    boxes: Floats
    labels: Ints
    maps: Pixels


def fitted_regions(
    found: Iterable[Regions],
    sizes: Sequence[tuple[int, ...]],
    *,
    resolution: int,
    crop: str,
    most: int,
) -> Fitted:
    """Bring boxes and maps to the squares that a crop makes of pictures.

    A box is cut at the edges of the square, and left out if less than KEPT_SHARE of its area
    is left. A map is resized by the nearest pixel (Pillow's NEAREST); object k of it is class k,
    and its box the smallest around its pixels.

    Args:
        found: one for each picture.
        sizes: height and width of each picture.
        resolution: side of the square.
        crop: a row of resize.CROPS.
        most: K.
    """
    count = len(sizes)
    boxes = np.full((count, most, 4), -1, np.float32)
    labels = np.full((count, most), -1, np.int64)
    maps = np.zeros((count, resolution, resolution), np.uint8)
    for i, (regions, size) in enumerate(zip(found, sizes, strict=True)):
        if regions.map is not None:
            maps[i] = _nearest(regions.map, resolution, crop)
            _boxes_of(maps[i], boxes[i], labels[i])
            continue
        cut, kept = _cut(regions.boxes, visible(crop, size, resolution))
        rows = np.flatnonzero(kept)[:most]
        boxes[i, : len(rows)] = cut[rows]
        labels[i, : len(rows)] = regions.labels[rows]
    return Fitted(boxes, labels, maps)


def visible(crop: str, size: tuple[int, ...], resolution: int) -> tuple[float, float, float, float]:
    """Return the part of a picture that a crop leaves: x0 y0 x1 y1, in [0, 1] of the picture.

    >>> visible("center", (100, 200), 64)
    (0.25, 0.0, 0.75, 1.0)

    Args:
        crop: a row of resize.CROPS.
        size: height and width of the picture.
        resolution: side of the square in pixels.
    """
    height, width = size[:2]
    if crop in ("none", "squash"):
        return 0.0, 0.0, 1.0, 1.0
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    edge = side * (1 - resolution / round(1.125 * resolution)) / 2 if crop == "var" else 0
    return (
        (left + edge) / width,
        (top + edge) / height,
        (left + side - edge) / width,
        (top + side - edge) / height,
    )


def _cut(
    boxes: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    part: tuple[float, float, float, float],
) -> tuple[Floats, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Return boxes in [0, 1] of a part of the picture, and which of them keep enough area."""
    x0, y0, x1, y1 = part
    low, high = np.array([x0, y0]), np.array([x1, y1])
    first = np.clip((boxes[:, :2] - low) / (high - low), 0, 1)
    last = np.clip((boxes[:, 2:] - low) / (high - low), 0, 1)
    left = np.prod((last - first) * (high - low), axis=1)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.concatenate([first, last], 1).astype(np.float32), left >= KEPT_SHARE * area


def _nearest(found: Pixels, resolution: int, crop: str) -> Pixels:
    """Crop and resize a map; the box filter of `adm` would mix class numbers, so it is left out."""
    how = CROPS["shortest" if crop == "adm" else crop]
    return how.apply(found, resolution, RESIZES["pil-nearest"].apply)


def _boxes_of(found: Pixels, boxes: Floats, labels: Ints) -> None:
    """Fill in the box and class of each class that a map has; object k is class k."""
    side = len(found)
    for value in np.unique(found[found > 0]):
        rows, columns = np.nonzero(found == value)
        k = int(value) - 1
        labels[k] = k
        boxes[k] = (
            columns.min() / side,
            rows.min() / side,
            (columns.max() + 1) / side,
            (rows.max() + 1) / side,
        )
