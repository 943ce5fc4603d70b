"""Boxes that a detector finds against boxes that were asked for: COCO's AP, and their recall.

AP as pycocotools' COCOeval has it: for each class and each IoU of 0.50, 0.55, ... 0.95, detections
of all images in one list, the surest first, precision at 101 recalls; the mean over classes that
were asked for. No score is too low, 100 detections of a class in an image count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ldmbench.metrics.arrays import Array
from ldmbench.metrics.resample import CONFIDENCE, Replicates, replicate

__all__ = ["Boxes", "coco_ap", "detections_family", "overlaps", "recalled"]

IOUS = tuple(float(iou) for iou in np.linspace(0.5, 0.95, 10))
RECALLS = np.linspace(0.0, 1.0, 101)
MOST = 100


class Boxes(NamedTuple):
    """One image: what was asked for, and what a detector found.

    Attributes:
        asked: float64 (K, 4), x0 y0 x1 y1.
        asked_labels: int64 (K,).
        found: float64 (Q, 4).
        labels: int64 (Q,).
        scores: float64 (Q,).
    """

    asked: Array
    asked_labels: Array
    found: Array
    labels: Array
    scores: Array


class _Matched(NamedTuple):
    """Detections of one class in one image, and which of them are right at each IoU."""

    scores: Array
    right: Array


def overlaps(a: Array, b: Array) -> Array:
    """Return the intersection over union of boxes (N, 4) and (M, 4), x0 y0 x1 y1: (N, M).

    Examples:
        >>> overlaps(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2], [5, 5, 6, 6]])).round(3)
        array([[0.333, 0.   ]])
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=-1)
    areas = [np.prod(np.clip(box[:, 2:] - box[:, :2], 0, None), axis=-1) for box in (a, b)]
    union = areas[0][:, None] + areas[1][None] - common
    shares: Array = np.zeros(common.shape, np.float64)
    np.divide(common, union, out=shares, where=union > 0)
    return shares


def _matched(one: Boxes, label: int, ious: Sequence[float]) -> _Matched:
    """Match the detections of a class, the surest first, each to the free box it covers best."""
    mine = np.flatnonzero(one.labels == label)
    mine = mine[np.argsort(-one.scores[mine], kind="stable")][:MOST]
    asked = one.asked[one.asked_labels == label]
    right = np.zeros((len(ious), len(mine)), bool)
    shares = overlaps(one.found[mine], asked)
    for row, least in enumerate(ious):
        free = np.ones(len(asked), bool)
        for column, share in enumerate(shares):
            open_ = np.where(free, share, -1.0)
            # Of equal ones the last, as COCOeval has it.
            best = len(open_) - 1 - int(np.argmax(open_[::-1])) if len(open_) else -1
            if best >= 0 and open_[best] >= min(least, 1 - 1e-10):
                right[row, column], free[best] = True, False
    return _Matched(one.scores[mine], right)


def _ap(scores: Array, right: Array, asked: int) -> float:
    """Return the AP of a class, the mean over IoUs.

    Args:
        scores: (D,) of its detections in all images.
        right: (I, D), at each IoU.
        asked: boxes of the class.
    """
    if not len(scores):
        return 0.0
    order = np.argsort(-scores, kind="mergesort")
    hits = np.cumsum(right[:, order], axis=1, dtype=np.float64)
    precision = hits / np.arange(1, len(scores) + 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    total = 0.0
    for reached, row in zip(hits / asked, best, strict=True):
        at = np.searchsorted(reached, RECALLS, side="left")
        total += float(row[at[at < len(row)]].sum()) / len(RECALLS)
    return total / len(right)


def coco_ap(
    images: Sequence[Boxes], *, ious: Sequence[float] = IOUS, confidence: float = CONFIDENCE
) -> Replicates:
    """Return COCO's AP of detections; its interval is a jackknife of images.

    Args:
        images: what was asked and found, an image each.
        ious: whose mean it is; [0.5] for AP50.
        confidence: of the interval.

    Examples:
        >>> box, one = np.array([[0.0, 0.0, 0.5, 0.5]]), np.array([3])
        >>> coco_ap([Boxes(box, one, box, one, np.array([0.9]))] * 2).value
        1.0
    """
    labels = sorted({int(label) for one in images for label in one.asked_labels})
    sums = np.zeros(len(images))  # of APs without one image
    counted = np.zeros(len(images))
    total = 0.0
    for label in labels:
        parts = [_matched(one, label, ious) for one in images]
        asked = np.array([int((one.asked_labels == label).sum()) for one in images])
        owner = np.repeat(np.arange(len(images)), [len(part.scores) for part in parts])
        scores = np.concatenate([part.scores for part in parts])
        right = np.concatenate([part.right for part in parts], axis=1)
        whole, every = _ap(scores, right, int(asked.sum())), int(asked.sum())
        total += whole
        touched = np.unique(np.concatenate([owner, np.flatnonzero(asked)]))
        without = np.full(len(images), whole)
        there = np.ones(len(images))
        for i in touched:
            left, kept = every - int(asked[i]), owner != i
            there[i] = left > 0
            without[i] = _ap(scores[kept], right[:, kept], left) if left else 0.0
        sums += without
        counted += there
    value = total / len(labels) if labels else 0.0
    part = np.divide(sums, counted, out=np.full(len(images), value), where=counted > 0)
    influence = (len(images) - 1) * (value - part)
    note = f"COCO's AP of {len(labels)} classes; a jackknife of images"
    return replicate(value, influence, least=0.0, confidence=confidence, note=note)


def recalled(one: Boxes, *, iou: float, threshold: float) -> int:
    """Return how many of the boxes asked for a detection of their class fills, each once.

    Args:
        one: an image.
        iou: that a box needs.
        threshold: scores below or at it do not count.
    """
    sure = np.flatnonzero(one.scores > threshold)
    free = np.ones(len(one.asked), bool)
    shares = overlaps(one.found, one.asked)
    for k in sure[np.argsort(-one.scores[sure], kind="stable")]:
        open_ = np.where(free & (one.asked_labels == one.labels[k]), shares[k], -1.0)
        if len(open_) and open_.max() >= iou:
            free[int(open_.argmax())] = False
    return int((~free).sum())


def detections_family(
    batches: Iterable[tuple[Array, Any]],
    *,
    network: Any,
    labels: Sequence[int],
    threshold: float,
    iou: float,
    confidence: float = CONFIDENCE,
) -> dict[str, Replicates]:
    """Return layout_ap, layout_ap50 and layout_recall of samples by a detector from disk.

    Args:
        batches: of samples, uint8 NHWC, and what was asked of them: boxes and their classes.
        network: the detector, `features.detector.ObjectDetector`.
        labels: label of each class of the data, -1 for classes that it does not know, whose boxes
            do not count.
        threshold: of the scores that count for the recall.
        iou: that a box needs for the recall.
        confidence: of the intervals.
    """
    table, made = np.array([*labels, -1]), list[Boxes]()
    for images, scene in batches:
        found = network.find(images)
        for one, boxes, classes in zip(found, scene.boxes, scene.box_labels, strict=True):
            asked = table[classes]
            known = asked >= 0
            made.append(
                Boxes(
                    boxes[known].astype(np.float64),
                    asked[known],
                    one.boxes.astype(np.float64),
                    one.labels,
                    one.scores.astype(np.float64),
                )
            )
    return {
        "layout_ap": coco_ap(made, confidence=confidence),
        "layout_ap50": coco_ap(made, ious=(0.5,), confidence=confidence),
        "layout_recall": _recall(made, iou=iou, threshold=threshold, confidence=confidence),
    }


def _recall(
    images: Sequence[Boxes], *, iou: float, threshold: float, confidence: float
) -> Replicates:
    asked = np.array([len(one.asked) for one in images], np.float64)
    right = np.array([recalled(one, iou=iou, threshold=threshold) for one in images], np.float64)
    note = f"{int(asked.sum())} boxes"
    value = float(right.sum() / asked.sum()) if asked.sum() else 0.0
    influence = (right - value * asked) / max(float(asked.mean()), 1e-12)
    return replicate(value, influence, share=True, least=0.0, confidence=confidence, note=note)
