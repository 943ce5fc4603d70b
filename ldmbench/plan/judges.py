"""Samples judged by a network from disk: which label is which class, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pydantic import JsonValue

from ldmbench.catalog.metrics import METRICS, Family
from ldmbench.errors import InputError
from ldmbench.plan.expand import Point
from ldmbench.plan.images import Images, plain_name
from ldmbench.plan.shared import Shared
from ldmbench.schema.local import Local
from ldmbench.schema.params import ScoresParams
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.suite import Suite
from ldmbench.sources.images.source import RegionFacts
from ldmbench.sources.judges import (
    DETECTOR,
    JUDGES,
    SEGMENTER,
    Judge,
    JudgeFiles,
    classes_of_labels,
    twins,
)

__all__ = ["cautions", "judged"]

THRESHOLD = 0.5
"""Of the scores of detections that the recall counts: transformers' own."""
_ALLOWED = {
    "detector": "kind coco with regions things, taming or sg2im, or kind openimages with regions:"
    " boxes",
    "segmenter": "kind ade20k or landscapes, or kind coco with regions: map",
}


@dataclass(frozen=True)
class _Matched:
    """A network from disk, and the classes of data that it reads.

    Attributes:
        judge: what it is.
        files: what its files say.
        names: of the classes of the data.
    """

    judge: Judge
    files: JudgeFiles
    names: tuple[str, ...]

    @cached_property
    def table(self) -> list[int]:
        """The label of each class, of a detector; the class of each label, of a segmenter."""
        if self.judge is DETECTOR:
            return twins(self.names, self.files.labels)
        return classes_of_labels(self.files.labels, self.names)

    @property
    def unknown(self) -> list[str]:
        """The classes that it has no label for."""
        if self.judge is DETECTOR:
            return [name for name, i in zip(self.names, self.table, strict=True) if i < 0]
        return [name for i, name in enumerate(self.names) if i not in {*self.table}]

    def options(self, family: Family) -> dict[str, JsonValue]:
        """Return what its scores are keyed by beside its digest."""
        table: list[JsonValue] = [*self.table]
        if self.judge is DETECTOR:
            iou = family.constants["iou"]
            assert isinstance(iou, float)
            short = self.files.short
            return {"detector": short, "labels": table, "threshold": THRESHOLD, "iou": iou}
        known = len(self.names) - len(self.unknown)
        return {
            "segmenter": self.files.short,
            "classes": table,
            "known": known,
            "of": len(self.names),
        }


def judged(
    shared: Shared, point: Point, family: Family, protocol: Protocol
) -> tuple[ScoresParams, Local] | None:
    """Return how a network from disk judges the samples of a point, and where it lies.

    Args:
        shared: the suite under planning.
        point: of a cell.
        family: of the scores.
        protocol: of the scores.

    Returns:
        None where the suite names none.

    Raises:
        InputError: the data do not name the classes of their regions, or it knows none of them.
    """
    found = _matched(shared.suite, shared.images, point)
    if found is None:
        return None
    params = ScoresParams.model_validate(
        {
            "family": family.name,
            "confidence": protocol.confidence,
            "options": found.options(family),
            "weights": (found.files.digest,),
        }
    )
    return params, Local.model_validate({found.judge.field: str(found.files.place)})


def _matched(suite: Suite, images: Images, point: Point) -> _Matched | None:
    """Return the network that judges the regions of a point's data; None where none is named."""
    named = [judge for judge in JUDGES if getattr(suite, judge.field) is not None]
    if not named:
        return None
    name, source = plain_name(point.dataset), images.source(point.data)
    regions = source.listing().regions if source else None
    judge = next((one for one in named if _fits(one, regions)), None)
    if judge is None or regions is None:
        raise InputError(
            "\n".join(
                f"{one.field}: data.{name} (kind {point.data.kind}) does not name the classes of"
                f" {'maps' if one.reads == 'map' else 'boxes'}, which are matched with a"
                f" {one.field}'s labels by name; allowed: {_ALLOWED[one.field]}"
                for one in named
            )
        )
    found = _Matched(judge, judge.at(getattr(suite, judge.field), images.folder), regions.names)
    if len(found.unknown) == len(found.names):
        raise InputError(
            f"{judge.field}: none of the {len(found.names)} classes of data.{name}"
            f" ({', '.join(found.names[:3])}, ...) is a label of {found.files.place}"
            f" ({', '.join(found.files.labels[:3])}, ...); their names must be equal: write them in"
            " id2label of its config.json"
        )
    return found


def _fits(judge: Judge, regions: RegionFacts | None) -> bool:
    wanted = judge is SEGMENTER
    return regions is not None and bool(regions.names) and regions.maps == wanted


def cautions(suite: Suite, images: Images, point: Point, conditioning: str) -> Iterator[str]:
    """Yield which classes a network from disk cannot judge.

    Args:
        suite: as written.
        images: where datasets lie.
        point: of a cell.
        conditioning: of its model.
    """
    rows = [METRICS[name] for name in suite.metrics if name in METRICS]
    if conditioning != "truth" or not any(row.judged for row in rows):
        return
    if point.data.kind == "shapes":
        for judge in JUDGES:
            if getattr(suite, judge.field):
                what = "layouts" if judge is DETECTOR else "maps"
                yield (
                    f"{what} of kind: shapes are judged by shapes-seg, not by the {judge.field} of"
                    " the suite"
                )
        return
    found = _matched(suite, images, point)
    if found is None:
        return
    data, field = f"data.{plain_name(point.dataset)}", found.judge.field
    what = (
        "boxes do not count in scores of layouts" if field == "detector" else "pixels are ignored"
    )
    if lost := found.unknown:
        yield (
            f"the {field} has no label for {len(lost)} of {len(found.names)} classes of {data},"
            f" such as {', '.join(lost[:3])}: their {what}"
        )
    if field == "segmenter" and (strange := found.table.count(-1)):
        names = [n for n, i in zip(found.files.labels, found.table, strict=True) if i < 0]
        yield (
            f"{strange} of {len(found.table)} labels of the segmenter are no class of {data}, such"
            f" as {', '.join(names[:3])}: pixels that it reads as one of them are wrong"
        )
