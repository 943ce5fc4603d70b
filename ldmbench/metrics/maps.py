"""Maps of classes that a segmenter reads in samples against the maps that were asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array
from ldmbench.metrics.resample import CONFIDENCE, Replicates, replicate

__all__ = ["class_counts", "maps_family", "mean_iou", "pixel_accuracy"]


def class_counts(found: Array, asked: Array, classes: int) -> tuple[Array, Array]:
    """Return pixels in common and in one of both, (N, classes) each, of maps (N, H, W).

    Classes that nothing asks for in an image count there as well: painting them is a fault.

    Examples:
        >>> class_counts(np.array([[[0, 1]]]), np.array([[[1, 1]]]), 2)
        (array([[0, 1]]), array([[1, 2]]))
    """
    rows = [
        [np.bincount(part.ravel(), minlength=classes)[:classes] for part in (a, b, a[a == b])]
        for a, b in zip(found, asked, strict=True)
    ]
    first, second, same = np.array(rows).transpose(1, 0, 2)
    return same, first + second - same


def mean_iou(common: Array, union: Array, *, confidence: float = CONFIDENCE) -> Replicates:
    """Return the mean over classes of intersection over union, each summed over all images.

    Args:
        common: (N, C) pixels of each class that sample and map have in common.
        union: (N, C) pixels that one of them has.
        confidence: of the interval.

    Examples:
        >>> mean_iou(np.array([[3, 0], [1, 2]]), np.array([[4, 1], [1, 4]])).value
        0.6
    """
    whole = union.sum(0)
    there = whole > 0
    shares = common.sum(0)[there] / whole[there]
    each = (common[:, there] - shares * union[:, there]) / whole[there]
    note = f"{int(there.sum())} classes"
    value = float(shares.mean())
    influence = len(common) * each.mean(1)
    return replicate(value, influence, least=0.0, confidence=confidence, note=note)


def pixel_accuracy(right: Array, pixels: Array, *, confidence: float = CONFIDENCE) -> Replicates:
    """Return the share of all pixels that are read as the class that was asked for.

    Args:
        right: (N,) such pixels of each image.
        pixels: (N,) pixels of each image that ask for a class.
        confidence: of the interval, which is over images.

    Examples:
        >>> pixel_accuracy(np.array([1, 3]), np.array([4, 4])).value
        0.5
    """
    value = float(right.sum() / pixels.sum())
    influence = (right - value * pixels) / pixels.mean()
    note = f"{int(pixels.sum())} pixels"
    return replicate(value, influence, share=True, least=0.0, confidence=confidence, note=note)


def maps_family(
    batches: Iterable[tuple[Array, Any]],
    *,
    network: Any,
    classes: Sequence[int],
    confidence: float = CONFIDENCE,
) -> dict[str, Replicates]:
    """Return miou and pixel_accuracy of samples by a segmenter from disk.

    Pixels that ask for no class, or for one that the segmenter has no label for, are ignored.

    Args:
        batches: of samples, uint8 NHWC, and what was asked of them: maps of classes.
        network: the segmenter, `features.segmentation.MapSegmenter`.
        classes: class of the data of each label, -1 for labels that are none.
        confidence: of the intervals.

    Raises:
        InputError: no pixel asks for a class that the segmenter has a label for.
    """
    table = np.array(classes, dtype=np.int64) + 1  # 0: no class
    known = np.zeros(256, bool)  # maps are uint8
    known[table] = True
    known[0] = False
    common, union, pixels = [], [], []
    for images, scene in batches:
        asked = np.where(known[scene.classes], scene.classes, 0)
        found = np.where(asked > 0, table[network.read(images)], 0)
        same, either = class_counts(found, asked, len(known))
        common.append(same[:, 1:])
        union.append(either[:, 1:])
        pixels.append((asked > 0).sum((1, 2)))
    every, right = np.concatenate(pixels), np.concatenate(common)
    if not every.any():
        raise InputError(
            "no pixel of the maps is of a class that the segmenter has a label for; its labels and"
            " the classes of the data are matched by name (id2label of its config.json)"
        )
    return {
        "miou": mean_iou(right, np.concatenate(union), confidence=confidence),
        "pixel_accuracy": pixel_accuracy(right.sum(1), every, confidence=confidence),
    }
