"""Layouts judged by a detector from disk: which label is which class, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator

from ldmbench.catalog.metrics import METRICS, Family
from ldmbench.errors import InputError
from ldmbench.plan.expand import Point
from ldmbench.plan.images import Images, plain_name
from ldmbench.plan.shared import Shared
from ldmbench.schema.local import Local
from ldmbench.schema.params import ScoresParams
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.suite import Suite
from ldmbench.sources.detectors import DetectorFiles, detector_at, twins

__all__ = ["cautions", "detections"]

THRESHOLD = 0.5
"""Of the scores of detections that the recall counts: transformers' own."""


def detections(
    shared: Shared, point: Point, family: Family, protocol: Protocol
) -> tuple[ScoresParams, Local] | None:
    """Return how a detector judges the layouts of a point, and where it lies; None without one.

    Args:
        shared: the suite under planning.
        point: of a cell.
        family: of the scores.
        protocol: of the scores.

    Raises:
        InputError: the data do not name the classes of their boxes, or the detector knows none.
    """
    if shared.suite.detector is None:
        return None
    found = detector_at(shared.suite.detector, shared.folder)
    _, labels = _matched(found, shared.images, point)
    options = {
        "detector": "detr",
        "labels": list(labels),
        "threshold": THRESHOLD,
        "iou": family.constants["iou"],
    }
    params = ScoresParams.model_validate(
        {
            "family": family.name,
            "confidence": protocol.confidence,
            "options": options,
            "weights": (found.digest,),
        }
    )
    return params, Local(detector=str(found.place))


def _matched(
    found: DetectorFiles, images: Images, point: Point
) -> tuple[tuple[str, ...], list[int]]:
    """Return the names of the classes of boxes, and the label of each, -1 where there is none."""
    name, source = plain_name(point.dataset), images.source(point.data)
    regions = source.listing().regions if source else None
    if regions is None or regions.maps or not regions.names:
        raise InputError(
            f"detector: data.{name} (kind {point.data.kind}) does not name the classes of boxes,"
            " which are matched with a detector's labels by name; allowed: kind coco with regions"
            " things, taming or sg2im, or kind openimages with regions: boxes"
        )
    labels = twins(regions.names, found.labels)
    if max(labels) < 0:
        raise InputError(
            f"detector: none of the {len(labels)} classes of data.{name}"
            f" ({', '.join(regions.names[:3])}, ...) is a label of {found.place}"
            f" ({', '.join(found.labels[:3])}, ...); their names must be equal: write them in"
            " id2label of its config.json"
        )
    return regions.names, labels


def cautions(suite: Suite, images: Images, point: Point, conditioning: str) -> Iterator[str]:
    """Yield which boxes a detector cannot judge.

    Args:
        suite: as written.
        images: where datasets lie.
        point: of a cell.
        conditioning: of its model.
    """
    detected = any(METRICS[name].detected for name in suite.metrics if name in METRICS)
    if not suite.detector or not detected or conditioning != "truth":
        return
    if point.data.kind == "shapes":
        yield "layouts of kind: shapes are judged by shapes-seg, not by the detector of the suite"
        return
    found = detector_at(suite.detector, images.folder)
    names, labels = _matched(found, images, point)
    lost = [name for name, label in zip(names, labels, strict=True) if label < 0]
    if lost:
        yield (
            f"the detector has no label for {len(lost)} of {len(names)} classes of"
            f" data.{plain_name(point.dataset)}, such as {', '.join(lost[:3])}: their boxes do not"
            " count in scores of layouts"
        )
