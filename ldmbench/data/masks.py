"""Where an inpainting model is to paint: masks by name, drawn by a seeded rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ldmbench.data.batch import Floats, Ints, Pixels
from ldmbench.data.counter import Keys, draw_below, stream_keys
from ldmbench.registry import pick

__all__ = ["MASKS", "Mask", "to_paint"]


class Mask(NamedTuple):
    """A kind of mask; `draw` makes uint8 (N, side, side) of N streams."""

    about: str
    draw: Callable[[Keys, int], Pixels]


class Strokes(NamedTuple):
    """Polylines with round ends, in pixels of a side of 256: LaMa's numbers at that side.

    Attributes:
        number: fewest and most polylines.
        length: longest part of one.
        width: widest brush.
    """

    number: tuple[int, int]
    length: int
    width: int


_PARTS = 5
_STROKES = {
    "thin": Strokes((4, 50), 40, 10),
    "medium": Strokes((4, 5), 100, 50),
    "thick": Strokes((1, 5), 200, 100),
}
"""Of LaMa's random masks at 256 px (arXiv:2109.07161, appendix), which LDM's inpainting uses."""


def to_paint(indices: Ints, side: int, *, mask: str, seed: int = 0) -> Pixels:
    """Return where to paint: uint8 (N, side, side), 1 there, else 0; a row of MASKS says how.

    The mask of an item depends on (seed, its index) alone.

    Args:
        indices: int64 (N,).
        side: of the images, pixels.
        mask: a row of MASKS.
        seed: 0 for samples; trainings draw masks of their own.

    Raises:
        InputError: there is no such row.
    """
    row = pick(MASKS, mask, "mask")
    return row.draw(stream_keys("mask", seed, np.asarray(indices, np.int64)), side)


def _center(keys: Keys, side: int) -> Pixels:
    found = np.zeros((len(keys), side, side), np.uint8)
    edge = side // 4
    found[:, edge : side - edge, edge : side - edge] = 1
    return found


def _boxes(keys: Keys, side: int) -> Pixels:
    found = np.zeros((len(keys), side, side), np.uint8)
    counts = 1 + draw_below(keys, 0, 4)
    least, spread = max(1, side // 5), max(1, side // 2 - side // 5 + 1)
    for box in range(4):
        height, width = (least + draw_below(keys, 1 + 4 * box + k, spread) for k in (0, 1))
        top = draw_below(keys, 3 + 4 * box, side - height + 1)
        left = draw_below(keys, 4 + 4 * box, side - width + 1)
        for i in np.flatnonzero(box < counts):
            found[i, top[i] : top[i] + height[i], left[i] : left[i] + width[i]] = 1
    return found


def _strokes(keys: Keys, side: int, *, strokes: Strokes) -> Pixels:
    """Draw polylines of 1 to 5 parts, each from where the last ended, one brush a part."""
    found = np.zeros((len(keys), side, side), np.uint8)
    unit = side / 256
    least, most = strokes.number
    for i, key in enumerate(keys[:, None]):
        number = 0

        def below(bound: int, key: Keys = key) -> int:
            nonlocal number
            number += 1
            return int(draw_below(key, number, bound)[0])

        for _ in range(least + below(most - least + 1)):
            at = np.array([below(side), below(side)], np.float32)
            for part in range(1 + below(_PARTS)):
                angle = 0.01 + below(4)
                angle = 2 * np.pi - angle if part % 2 == 0 else angle
                reach = (10 + below(strokes.length)) * unit
                brush = (5 + below(strokes.width)) * unit
                end = at + reach * np.array([np.cos(angle), np.sin(angle)], np.float32)
                end = np.clip(end, 0, side)
                _paint(found[i], at, end, max(brush / 2, 0.71))
                at = end
    return found


def _paint(picture: Pixels, start: Floats, end: Floats, reach: float) -> None:
    """Paint pixels whose middle is within `reach` of a line between two (row, column)."""
    first = np.maximum(np.floor(np.minimum(start, end) - reach), 0).astype(int)
    last = np.minimum(np.ceil(np.maximum(start, end) + reach), len(picture)).astype(int)
    window = picture[first[0] : last[0], first[1] : last[1]]
    rows = np.arange(first[0], last[0])[:, None] + 0.5 - start[0]
    columns = np.arange(first[1], last[1])[None] + 0.5 - start[1]
    along = end - start
    length = max(float(along @ along), 1e-6)
    share = np.clip((rows * along[0] + columns * along[1]) / length, 0, 1)
    window[np.hypot(rows - share * along[0], columns - share * along[1]) <= reach] = 1


def _brushed(name: str) -> Callable[[Keys, int], Pixels]:
    return lambda keys, side: _strokes(keys, side, strokes=_STROKES[name])


MASKS = {
    "center": Mask("a square of half the side in the middle", _center),
    "boxes": Mask("1 to 4 boxes, each 20 to 50 % of the side in height and in width", _boxes),
    "thin": Mask("4 to 50 thin strokes, as LaMa draws them at 256 px", _brushed("thin")),
    "medium": Mask("4 or 5 strokes of medium width, as LaMa", _brushed("medium")),
    "thick": Mask("1 to 5 thick strokes, as LaMa", _brushed("thick")),
}
"""Kinds of masks by name."""
