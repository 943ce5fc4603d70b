"""Layouts and maps: whether samples show the boxes and the map of classes that were asked for.

A segmenter reads the class of every pixel. The detector stands on it: a component of connected
object pixels is one object, its class that of most of its pixels, its box the smallest around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from ldmbench.metrics.arrays import Array
from ldmbench.metrics.detections import detections_family
from ldmbench.metrics.maps import class_counts, maps_family, mean_iou, pixel_accuracy
from ldmbench.metrics.resample import CONFIDENCE, Replicates, replicate

__all__ = ["Detection", "Hits", "Scene", "detect", "match", "scenes_family"]

SMALLEST = 0.003
"""Share of an image that a component covers at least, to be an object."""
_EIGHT = np.ones((3, 3), dtype=bool)


class Scene(NamedTuple):
    """What was asked of a batch of samples.

    Attributes:
        boxes: float32 (N, K, 4), x0 y0 x1 y1 in [0, 1], -1 for absent.
        box_labels: int64 (N, K), -1 for absent.
        masks: uint8 (N, H, W), 0 is background, 1 + k is object k; None where a detector judges.
    """

    boxes: Array
    box_labels: Array
    masks: Array | None = None

    @property
    def classes(self) -> Array:
        """Return the class of each pixel, int64 (N, H, W): 0 background, else 1 + class."""
        assert self.masks is not None
        count = len(self.masks)
        table = np.concatenate([np.zeros((count, 1), np.int64), self.box_labels + 1], axis=1)
        ids = np.take_along_axis(table, self.masks.reshape(count, -1).astype(np.int64), axis=1)
        return ids.reshape(self.masks.shape)


@dataclass(frozen=True)
class Detection:
    """An object that the detector found.

    Attributes:
        label: its class, 0 or more.
        box: x0, y0, x1, y1 in [0, 1].
        score: how sure the segmenter is of this class, mean over its pixels.
    """

    label: int
    box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True)
class Hits:
    """How the detections of one image match what was asked.

    Attributes:
        asked: boxes asked for.
        scores: of its detections.
        right: for each, whether it matches a box that no surer one matches.
    """

    asked: int
    scores: tuple[float, ...]
    right: tuple[bool, ...]


def detect(ids: Array, sure: Array) -> list[Detection]:
    """Return the objects of one image.

    Args:
        ids: int64 (H, W), the class of each pixel; 0 is background, 1 + c class c.
        sure: float32 (H, W), probabilities of these.

    Examples:
        >>> ids = np.zeros((8, 8), np.int64)
        >>> ids[2:4, 4:8] = 3
        >>> detect(ids, np.ones((8, 8)))
        [Detection(label=2, box=(0.5, 0.25, 1.0, 0.5), score=1.0)]
    """
    height, width = ids.shape
    parts, _ = ndimage.label(ids > 0, structure=_EIGHT)
    found = []
    for number, window in enumerate(ndimage.find_objects(parts), start=1):
        here = parts[window] == number
        if here.sum() < max(2.0, SMALLEST * ids.size):
            continue
        classes = ids[window][here]
        label = int(np.bincount(classes).argmax())
        score = float(np.where(classes == label, sure[window][here], 0.0).mean())
        rows, columns = window
        box = (columns.start / width, rows.start / height, columns.stop / width, rows.stop / height)
        found.append(Detection(label - 1, box, score))
    return found


def match(found: Sequence[Detection], boxes: Array, labels: Array, *, iou: float) -> Hits:
    """Match detections to the boxes asked for, the surest first, each box once.

    Args:
        found: of one image.
        boxes: (K, 4), rows of -1 for absent.
        labels: (K,), -1 for absent.
        iou: intersection over union that a match needs; the class must be the same.
    """
    free = {k for k in range(len(labels)) if labels[k] >= 0}
    asked, right = len(free), []
    ranked = sorted(found, key=lambda one: -one.score)
    for one in ranked:
        overlaps = {k: _overlap(one.box, boxes[k]) for k in free if labels[k] == one.label}
        best = max(overlaps, key=lambda k: overlaps[k], default=None)
        hit = best is not None and overlaps[best] >= iou
        right.append(hit)
        if best is not None and hit:
            free.remove(best)
    return Hits(asked, tuple(one.score for one in ranked), tuple(right))


def scenes_family(
    batches: Iterable[tuple[Array, Scene]],
    *,
    segmenter: str = "",
    detector: str = "",
    labels: Sequence[int] = (),
    classes: Sequence[int] = (),
    known: int = 0,
    of: int = 0,
    threshold: float = 0.5,
    folder: str = "",
    weights: Sequence[str] = (),
    iou: float = 0.5,
    confidence: float = CONFIDENCE,
    device: str = "cpu",
) -> dict[str, Replicates]:
    """Return scores of layouts and of maps.

    By a detector from disk they are those of `detections_family`, by a segmenter those of
    `maps_family`.

    Args:
        batches: of samples, uint8 NHWC, and what was asked of them.
        segmenter: a row of WEIGHTS; what the segmenter in `folder` is.
        detector: what the detector in `folder` is; "" where the segmenter finds the objects.
        labels: as `detections_family` has it.
        classes: as `maps_family` has it; empty where the segmenter is a row of WEIGHTS.
        known: how many classes of the data such a segmenter has labels for; said in signatures.
        of: how many classes the data have; said in signatures.
        threshold: of the scores that count for the recall; as `detections_family` has it.
        folder: of the network from disk.
        weights: its digest, first.
        iou: that a box needs to match.
        confidence: of the intervals.
        device: of the segmenter.
    """
    sha256 = weights[0] if weights else None
    if detector:
        from ldmbench.features.detector import load_detector  # it imports torch

        return detections_family(
            batches,
            network=load_detector(Path(folder), sha256=sha256, device=device),
            labels=labels,
            threshold=threshold,
            iou=iou,
            confidence=confidence,
        )
    if classes:
        from ldmbench.features.segmentation import load_map_segmenter  # it imports torch

        reader = load_map_segmenter(Path(folder), sha256=sha256, device=device)
        return maps_family(batches, network=reader, classes=classes, confidence=confidence)
    return _shapes_family(
        batches, segmenter=segmenter, iou=iou, confidence=confidence, device=device
    )


def _shapes_family(
    batches: Iterable[tuple[Array, Scene]],
    *,
    segmenter: str,
    iou: float,
    confidence: float,
    device: str,
) -> dict[str, Replicates]:
    """Return the scores of samples of `shapes`, by the segmenter that ships."""
    from ldmbench.features.segmenter import load_segmenter  # it imports torch

    network: Any = load_segmenter(segmenter, device=device)
    hits: list[Hits] = []
    common, union = [], []
    for images, scene in batches:
        ids, sure = network.classes(images)
        hits += [
            match(detect(*one), boxes, labels, iou=iou)
            for one, boxes, labels in zip(
                zip(ids, sure, strict=True), scene.boxes, scene.box_labels, strict=True
            )
        ]
        both = class_counts(ids, scene.classes, network.CLASSES)
        common.append(both[0])
        union.append(both[1])
    same, pixels = np.concatenate(common), np.full(len(hits), ids[0].size)
    precision = _average_precision(hits, confidence)
    return {
        "layout_ap": precision,
        "layout_ap50": precision,
        "layout_recall": _recall(hits, confidence),
        "miou": mean_iou(same, np.concatenate(union), confidence=confidence),
        "pixel_accuracy": pixel_accuracy(same.sum(1), pixels, confidence=confidence),
    }


def _recall(hits: Sequence[Hits], confidence: float) -> Replicates:
    asked = np.array([one.asked for one in hits], np.float64)
    right = np.array([sum(one.right) for one in hits], np.float64)
    value = float(right.sum() / asked.sum())
    influence = (right - value * asked) / asked.mean()
    note = f"{int(asked.sum())} boxes"
    return replicate(value, influence, share=True, least=0.0, confidence=confidence, note=note)


def _average_precision(hits: Sequence[Hits], confidence: float) -> Replicates:
    """Return the area under precision over recall, all classes in one list; a jackknife of images.

    Precision at a recall is the best at this recall or a higher one, as in PASCAL VOC since 2010.
    """
    owner = np.concatenate([np.full(len(one.scores), i) for i, one in enumerate(hits)])
    scores = np.array([score for one in hits for score in one.scores])
    right = np.array([hit for one in hits for hit in one.right], dtype=bool)
    order = np.argsort(-scores, kind="stable")
    owner, right = owner[order], right[order]
    asked = np.array([one.asked for one in hits])
    value = _area(right, int(asked.sum()))
    note = "all classes in one list; a jackknife of images"
    without = np.array(
        [_area(right[owner != i], int(asked.sum() - asked[i])) for i in range(len(hits))]
    )
    influence = (len(hits) - 1) * (value - without)
    return replicate(value, influence, least=0.0, confidence=confidence, note=note)


def _area(right: Array, asked: int) -> float:
    """Return average precision of detections, surest first."""
    if not asked or not right.any():
        return 0.0
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[right].sum() / asked)


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the intersection over union of two boxes, x0 y0 x1 y1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return float(common / (sum(areas) - common))
