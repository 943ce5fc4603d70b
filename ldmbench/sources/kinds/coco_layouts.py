"""Layouts of MS-COCO: which boxes and which images count, by the rules of their readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ldmbench.errors import InputError
from ldmbench.sources.images.source import Regions
from ldmbench.sources.kinds.coco_json import Annotations, box_of, refuse_shares
from ldmbench.sources.kinds.tree import lines_in

__all__ = ["RULES", "LayoutRule", "Layouts", "challenge_ids", "layouts_of"]

_CHALLENGE = "deprecated-challenge2017"


@dataclass(frozen=True)
class LayoutRule:
    """Which objects a layout has, and which images have one.

    Attributes:
        stuff: whether stuff is read beside things.
        area: share of the image that a box must exceed.
        least: objects that an image must have.
        most: objects that it may have; None: any.
        text: whether classes are numbered by their ids sorted as text, else as numbers.
        drawn: whether an image needs stuff, and is of the challenge's lists where these are there.
    """

    stuff: bool
    area: float = 0.0
    least: int = 0
    most: int | None = None
    text: bool = False
    drawn: bool = False


RULES: Mapping[str, LayoutRule] = {
    "things": LayoutRule(stuff=False),
    "taming": LayoutRule(stuff=True, area=1e-5, least=2, most=30, text=True),
    "sg2im": LayoutRule(stuff=True, area=0.02, least=3, most=8, drawn=True),
}
"""`things`: all boxes but crowds'. `taming`: taming-transformers' annotated_objects_coco.py.
`sg2im`: sg2im/data/coco.py; its test split is the last 2,048 images of the filtered list."""


@dataclass(frozen=True)
class Layouts:
    """The layouts of a split.

    Attributes:
        boxes: image -> its boxes; images without a layout are left out.
        most: boxes of the image that has most.
        flat: boxes that have no width or height.
        classes: category id -> class.
    """

    boxes: Mapping[str, Regions]
    most: int
    flat: int
    classes: Mapping[int, int]


def challenge_ids(path: Path, word: str) -> set[int] | None:
    """Return the ids of COCO's segmentation challenge of 2017, where its lists are there."""
    file = path / "annotations" / _CHALLENGE / f"{word}-ids.txt"
    return {int(line) for line in lines_in(file)} if file.is_file() else None


def layouts_of(
    sources: Sequence[Annotations],
    rule: LayoutRule,
    names: Sequence[str],
    *,
    classes: Mapping[int, int],
    ids: set[int] | None,
) -> Layouts:
    """Return the layouts that images have by a rule.

    Args:
        sources: annotations of things, and of stuff where the rule has it.
        rule: a value of RULES.
        names: of images.
        classes: category id -> class; empty: as the annotations have them.
        ids: of the images that count; None: all.
    """
    for source in sources:
        refuse_shares(source)
    numbered = classes or _numbers(sources, rule)
    by_name = {image.name: number for number, image in sources[0].images.items()}
    boxes: dict[str, Regions] = {}
    most = flat = 0
    for name in names:
        number = by_name.get(name)
        if number is None or (ids is not None and number not in ids):
            continue
        if rule.drawn and not sources[-1].rows.get(number):
            continue
        regions, dropped = _regions(sources, number, rule, numbered)
        flat += dropped
        count = len(regions.labels)
        if rule.least <= count <= (rule.most or count):
            boxes[name] = regions
            most = max(most, count)
    return Layouts(boxes, most, flat, numbered)


def _numbers(sources: Sequence[Annotations], rule: LayoutRule) -> dict[int, int]:
    """Return category id -> class; stuff's `other` is none."""
    ids = {i for s in sources for i, name in s.categories.items() if name != "other"}
    ordered = sorted(ids, key=str) if rule.text else sorted(ids)
    return {number: row for row, number in enumerate(ordered)}


def _regions(
    sources: Sequence[Annotations], number: int, rule: LayoutRule, classes: Mapping[int, int]
) -> tuple[Regions, int]:
    """Return the boxes of an image, in [0, 1], and how many have no width or height."""
    boxes, labels, flat = [], [], 0
    for source in sources:
        image = source.images.get(number)
        for row in source.rows.get(number, ()) if image else ():
            assert image is not None
            x, y, width, height = box_of(row, image, source.file)
            category = int(row.get("category_id", -1))
            if category not in source.categories:
                raise InputError(
                    f"{source.file}: annotation {row.get('id')} is of category {category}, which"
                    " the file does not name; fetch it again"
                )
            if width <= 0 or height <= 0:
                flat += 1
                continue
            if category not in classes or (not rule.stuff and row.get("iscrowd")):
                continue
            if width * height <= rule.area * image.width * image.height:
                continue
            size = np.array([image.width, image.height] * 2)
            box = np.array([x, y, x + width, y + height]) / size
            boxes.append(np.clip(box, 0, 1))
            labels.append(classes[category])
    found = np.array(boxes).reshape(-1, 4)
    return Regions(found, np.array(labels, dtype=np.int64)), flat
