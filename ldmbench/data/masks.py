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


class Preset(NamedTuple):
    """LaMa's numbers for one kind of mask, in pixels of a square of `side`.

    Attributes:
        side: of the images that they are for.
        number: fewest and most strokes; LaMa draws one more at most.
        width: widest brush less 4.
        length: longest part of a stroke less 9.
        boxes: fewest and most boxes; (0, 0) where no mask is of boxes.
        margin: between a box and the edge.
        sizes: smallest and largest side of a box.
    """

    side: int
    number: tuple[int, int]
    width: int
    length: int
    boxes: tuple[int, int] = (0, 0)
    margin: int = 0
    sizes: tuple[int, int] = (1, 1)


_PRESETS = {
    "thin": (Preset(256, (4, 50), 10, 40), Preset(512, (4, 70), 20, 100)),
    "medium": (
        Preset(256, (4, 5), 50, 100, (1, 5), 0, (10, 50)),
        Preset(512, (4, 10), 100, 200, (1, 5), 0, (30, 150)),
    ),
    "thick": (
        Preset(256, (1, 5), 100, 200, (1, 3), 10, (30, 150)),
        Preset(512, (1, 5), 250, 450, (1, 4), 10, (30, 300)),
    ),
}
"""advimman/lama, configs/data_gen/random_*_256.yaml and _512.yaml (arXiv:2109.07161): for images
below 512 pixels, and from there on; other sides scale the nearer one."""
_PARTS, _ANGLES = 5, 4
_BOXES_OF = (3, 13)
"""Share of masks of boxes where a preset has some: 0.3 of 1.3."""
_MOST_AREA, _TRIES = 0.5, 100
"""LaMa drops a mask that covers more than half of the image, and draws another."""


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


def _lama(keys: Keys, side: int, *, name: str) -> Pixels:
    """Draw one mask a stream, of strokes or of boxes, that covers half of the image at most."""
    preset = _PRESETS[name][side >= 512]
    found = np.zeros((len(keys), side, side), np.uint8)
    for picture, key in zip(found, keys, strict=True):
        draws = _Draws(key[None])
        for _ in range(_TRIES):
            picture[:] = 0
            share, of = _BOXES_OF
            if preset.boxes[1] and draws.below(of) < share:
                _rectangles(picture, preset, draws)
            else:
                _strokes(picture, preset, draws)
            if picture.mean() <= _MOST_AREA:
                break
    return found


class _Draws:
    """Numbers of one stream, one after the other."""

    def __init__(self, key: Keys) -> None:
        self.key, self.count = key, 0

    def below(self, bound: int) -> int:
        """Return the next number in [0, bound)."""
        self.count += 1
        return int(draw_below(self.key, self.count, bound)[0])

    def between(self, least: int, most: int) -> int:
        """Return the next number in [least, most]."""
        return least + self.below(most - least + 1)


def _strokes(picture: Pixels, preset: Preset, draws: _Draws) -> None:
    """Draw polylines of 1 to 5 parts, each from where the last ended, one brush a part."""
    unit = len(picture) / preset.side
    least, most = preset.number
    for stroke in range(draws.between(least, most + 1)):
        at = np.array([draws.below(preset.side), draws.below(preset.side)], np.float32) * unit
        for _ in range(1 + draws.below(_PARTS)):
            angle = 0.01 + draws.below(_ANGLES)
            angle = 2 * np.pi - angle if stroke % 2 == 0 else angle
            reach = (10 + draws.below(preset.length)) * unit
            brush = (5 + draws.below(preset.width)) * unit
            end = at + reach * np.array([np.cos(angle), np.sin(angle)], np.float32)
            end = np.clip(end, 0, len(picture))
            _paint(picture, at, end, max(brush / 2, 0.71))
            at = end


def _rectangles(picture: Pixels, preset: Preset, draws: _Draws) -> None:
    """Fill boxes inside the margin."""
    unit = len(picture) / preset.side
    for _ in range(draws.between(*preset.boxes)):
        height, width = (draws.between(*preset.sizes) for _ in range(2))
        room = preset.side - preset.margin
        top, left = (draws.between(preset.margin, room - size) for size in (height, width))
        rows, columns = (
            slice(round(start * unit), max(round((start + size) * unit), round(start * unit) + 1))
            for start, size in ((top, height), (left, width))
        )
        picture[rows, columns] = 1


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


def _by_lama(name: str) -> Callable[[Keys, int], Pixels]:
    return lambda keys, side: _lama(keys, side, name=name)


MASKS = {
    "center": Mask("a square of half the side in the middle", _center),
    "boxes": Mask("1 to 4 boxes, each 20 to 50 % of the side in height and in width", _boxes),
    "thin": Mask("LaMa's thin strokes, 4 to 51 at 256 px", _by_lama("thin")),
    "medium": Mask("LaMa's strokes of medium width, 4 to 6, or boxes", _by_lama("medium")),
    "thick": Mask("LaMa's thick strokes, 1 to 6, or boxes", _by_lama("thick")),
}
"""Kinds of masks by name."""
