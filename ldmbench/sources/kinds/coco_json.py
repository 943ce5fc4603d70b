"""MS-COCO's files of annotations: images, captions, boxes and the names of categories."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.seeds import derive_seed
from ldmbench.sources.images.disk import some
from ldmbench.sources.images.rows import text_of

__all__ = ["Annotations", "CocoImage", "box_of", "refuse_shares"]

_SIDE = 1.0
"""Pixels by which a box may reach over the edge of its image; annotators' rounding."""


@dataclass(frozen=True)
class CocoImage:
    """What a file of annotations says of an image: its file's name, its size in pixels."""

    name: str
    width: int
    height: int


@dataclass(frozen=True)
class Annotations:
    """A file of annotations.

    Attributes:
        file: where it lies.
        images: by id, in the order of the file.
        rows: id of an image -> its annotations, in the order of the file.
        every: these annotations of all images, in that order.
        categories: id -> name.
    """

    file: Path
    images: Mapping[int, CocoImage]
    rows: Mapping[int, Sequence[Mapping[str, Any]]]
    categories: Mapping[int, str]
    every: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def read(cls, file: Path) -> Annotations:
        """Read a JSON of COCO.

        Raises:
            InputError: it is none, or an annotation is of an image that it does not name.
        """
        wanted = ("id", "image_id", "caption", "bbox", "category_id", "iscrowd")
        try:
            found = json.loads(text_of(file.read_bytes(), str(file)))
            images = {
                int(row["id"]): CocoImage(
                    str(row["file_name"]), int(row.get("width", 0)), int(row.get("height", 0))
                )
                for row in found["images"]
            }
            rows: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
            every = [{k: row[k] for k in wanted if k in row} for row in found["annotations"]]
            for row in every:
                rows[int(row["image_id"])].append(row)
            categories = {int(c["id"]): str(c["name"]) for c in found.get("categories", [])}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{file}: not annotations of COCO ({type(error).__name__}: {error}); fetch it again"
            ) from None
        if len({image.name for image in images.values()}) < len(found["images"]):
            raise InputError(f"{file}: an image is there twice by its id or file; fetch it again")
        strange = sorted({*rows} - {*images})
        if strange:
            raise InputError(
                f"{file}: annotations are of {len(strange):,} images that it does not name, such as"
                f" {some([str(number) for number in strange])}; fetch it again"
            )
        return cls(file, images, rows, categories, every)

    def captions(self, rule: str) -> dict[str, str]:
        """Return image -> its caption: the first by id, or one drawn by the image's id."""
        found = {}
        for number, rows in self.rows.items():
            texts = [_caption(row, self.file) for row in sorted(rows, key=_id_of)]
            at = derive_seed("coco caption", number) % len(texts) if rule == "drawn" else 0
            found[self.images[number].name] = " ".join(str(texts[at]).split())
        return found


def _id_of(row: Mapping[str, Any]) -> int:
    found = row.get("id")
    return found if isinstance(found, int) else int(str(found)) if str(found).isdecimal() else 0


def _caption(row: Mapping[str, Any], file: Path) -> str:
    found = row.get("caption")
    if not isinstance(found, str):
        raise InputError(
            f"{file}: annotation {row.get('id')} of image {row.get('image_id')} has no caption but"
            f" {str(found)[:40]}; fetch it again, or remove the annotation"
        )
    return found


def refuse_shares(found: Annotations) -> None:
    """Refuse boxes that are shares of the sides: all of them lie within one pixel."""
    boxes = [row["bbox"] for row in found.every if isinstance(row.get("bbox"), list)]
    values = [value for box in boxes for value in box if isinstance(value, int | float)]
    if values and max(values) <= 1:
        raise InputError(
            f"{found.file}: no box is larger than a pixel, so boxes seem to be shares of the sides;"
            " boxes are x, y, width, height in pixels"
        )


def box_of(
    row: Mapping[str, Any], image: CocoImage, file: Path
) -> tuple[float, float, float, float]:
    """Return a box in pixels, refused where it lies outside of its image."""
    try:
        x, y, width, height = (float(value) for value in row["bbox"])
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{file}: annotation {row.get('id')} has no bbox of four numbers; fetch it again"
        ) from None
    over = max(-x, -y, x + width - image.width, y + height - image.height)
    if not (over <= _SIDE and math.isfinite(x + y + width + height)):
        raise InputError(
            f"{file}: the box of annotation {row.get('id')}, {[x, y, width, height]}, lies outside"
            f" of its image, which is {image.width} x {image.height} pixels; boxes are x, y, width,"
            " height in pixels"
        )
    return x, y, width, height
