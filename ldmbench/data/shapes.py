"""The embedded dataset `shapes`: procedural scenes, drawn with integers only.

Image i of seed s at resolution r is the same bytes on every machine and in every batch: scenes
come from a counter-based hash (counter.py), lengths are fixed-point (scenes.py), edges are
smoothed with integer signed distances (distances.py), and no step uses floating point.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ldmbench.data.batch import Batch, Ints, Pixels
from ldmbench.data.captions import VOCABULARY, caption_variants, captions
from ldmbench.data.counter import Keys, draw_below, noise_bytes, stream_keys
from ldmbench.data.distances import DISTANCES, Grid, boxes
from ldmbench.data.scenes import (
    BACKGROUNDS,
    CLASSES,
    COLOURS,
    LARGE,
    PLACES,
    SHAPES,
    SIZES,
    SLOTS,
    TURNS,
    UNIT,
    Scene,
    scene,
)
from ldmbench.errors import InputError
from ldmbench.registry import pick
from ldmbench.schema.data import LARGEST_SCENE

__all__ = [
    "BACKGROUNDS",
    "CLASSES",
    "COLOURS",
    "PLACES",
    "SHAPES",
    "SIZES",
    "SPLIT_OFFSETS",
    "VOCABULARY",
    "Scene",
    "Texture",
    "caption_variants",
    "render",
    "scene",
    "split_indices",
]

Texture: TypeAlias = Literal["plain", "fine"]
Canvas: TypeAlias = npt.NDArray[np.int16]

SPLIT_OFFSETS = {"train": 0, "validation": 1 << 40, "reference": 1 << 41}

_CHUNK_PIXELS = 1 << 18  # what fits the cache; the bytes do not depend on it
_EDGE_BITS = 6  # coverage of a pixel is 0 to 64

# fmt: off
_COLOUR_RGB = np.array([
    (216,  38,  44), (244, 134,  24), (244, 218,  48), ( 44, 182,  62),
    ( 48, 206, 222), ( 44,  82, 224), (146,  52, 186), (240, 240, 240),
], dtype=np.int16)
_BACKGROUND_RGB = np.array([
    ( 28,  28,  32), (124, 124, 124), ( 98,  64,  40),
    (218, 218, 214), ( 58, 112,  70), ( 58,  80, 136),
], dtype=np.int16)
# heights of the fine waves on background and objects, and how far the noise is shifted down
_TEXTURES: dict[str, tuple[int, int, int]] = {
    "plain": (7, 4, 1),
    "fine": (20, 14, 0),
}
# fmt: on


def split_indices(split: str, start: int, stop: int) -> Ints:
    """Return the image indices [start, stop) of a split, int64; splits share no image.

    Raises:
        InputError: if the split is unknown or the range leaves it.
    """
    offset = pick(SPLIT_OFFSETS, split, "split")
    if not 0 <= start <= stop <= SPLIT_OFFSETS["validation"]:
        raise InputError(f"the range [{start}, {stop}) is not within a split; start at 0 or more")
    return np.arange(offset + start, offset + stop, dtype=np.int64)


def render(
    indices: Ints,
    *,
    resolution: int,
    seed: int = 0,
    texture: Texture = "plain",
    objects: tuple[int, int] = (1, SLOTS),
) -> Batch:
    """Draw the images of these indices.

    Args:
        indices: integers (N,), 0 or more.
        resolution: side of the images in pixels, 8 to 1024; scenes do not depend on it.
        seed: which dataset; scenes of different seeds share nothing.
        texture: "plain", or "fine" for more of the detail that compression may remove.
        objects: fewest and most objects in a scene, 1 to 3.

    Returns:
        images uint8 (N, r, r, 3), captions, labels (rows of CLASSES, of the largest object),
        boxes, box_labels and masks.

    Raises:
        InputError: if an argument is outside its range.
    """
    pick(_TEXTURES, texture, "texture")
    if not 8 <= resolution <= LARGEST_SCENE:
        raise InputError(
            f"shapes are drawn at 8 to {LARGEST_SCENE} pixels, found resolution {resolution}"
        )
    scenes = scene(indices, seed, objects)
    keys = stream_keys("shapes-texture", seed, np.asarray(indices, dtype=np.int64))
    images = np.empty((len(scenes), resolution, resolution, 3), dtype=np.uint8)
    masks = np.zeros(images.shape[:3], dtype=np.uint8)
    step = max(1, _CHUNK_PIXELS // resolution**2)
    for start in range(0, len(scenes), step):
        part = slice(start, start + step)
        images[part] = _draw(scenes, part, keys[part], masks[part], texture)
    return Batch(
        images=images,
        captions=captions(scenes),
        labels=scenes.label.copy(),
        boxes=boxes(scenes),
        box_labels=scenes.object_class,
        masks=masks,
    )


def _draw(scenes: Scene, part: slice, keys: Keys, masks: Pixels, texture: str) -> Pixels:
    """Draw some scenes: uint8 (n, r, r, 3); writes their masks (n, r, r)."""
    resolution = masks.shape[1]
    back_height, object_height, shift = _TEXTURES[texture]
    canvas = _backdrop(scenes.background[part], keys, resolution, back_height)
    for rows, slots, window, cover in _objects(scenes, part, resolution):
        paint = _paint(scenes.colour[part][rows, slots], keys[rows], slots, window, object_height)
        for slot in range(SLOTS):
            here = slots == slot
            at = (rows[here, None, None], window[0][here, :, None], window[1][here, None, :])
            under, over = canvas[at], cover[here]
            under += ((paint[here] - under) * over[..., None] + 32) >> _EDGE_BITS
            canvas[at] = under
            masks[at] = np.where(over >= 32, np.uint8(slot + 1), masks[at])
    noise = noise_bytes(_noise_keys(keys, resolution), canvas[0].size).reshape(canvas.shape)
    canvas += ((noise & 15) + (noise >> 4)).astype(np.int16) - 15 >> shift
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)


def _noise_keys(keys: Keys, resolution: int) -> Keys:
    return keys ^ np.uint64(resolution << 32)


def _backdrop(background: Ints, keys: Keys, resolution: int, height: int) -> Canvas:
    """Draw the background: colour, a gentle slope of light, and a fine wave; int16 NHWC."""
    tint = np.stack([draw_below(keys, 1 + k, 17) - 8 for k in range(3)], axis=1)
    colour = _BACKGROUND_RGB[background] + tint.astype(np.int16)
    slope = [(draw_below(keys, 4 + k, 49) - 24).astype(np.int32)[:, None] for k in range(2)]
    at = np.arange(resolution, dtype=np.int32)
    centred = ((2 * at + 1 - resolution) << 10) // resolution
    light = ((slope[0] * centred) >> 10)[:, None, :] + ((slope[1] * centred) >> 10)[:, :, None]
    light = light.astype(np.int16) + _wave(keys, 6, (at, at), height)
    return colour[:, None, None, :] + light[..., None]


def _wave(keys: Keys, counter: int, at: tuple[Grid, Grid], height: int) -> Canvas:
    """Return a triangle wave of 2.5 to 5 pixels length, int16 (n, h, w) in [-height, height].

    Args:
        keys: the stream of each wave, (n,).
        counter: where its three numbers (direction, two frequencies, phase) begin.
        at: rows and columns in pixels, each (h,) and (w,) or (n, h) and (n, w).
        height: half the distance from crest to trough in grey levels.
    """
    fast, slow = draw_below(keys, counter, 51) + 51, draw_below(keys, counter + 1, 81) - 40
    upright = draw_below(keys, counter + 2, 2).astype(bool)
    phase = draw_below(keys, counter + 3, 256)
    down, right = np.where(upright, slow, fast), np.where(upright, fast, slow)
    rows = (at[0] * down[:, None] + phase[:, None]).astype(np.int16)
    columns = (at[1] * right[:, None]).astype(np.int16)
    wave = (rows[:, :, None] + columns[:, None, :]) & 255
    wave = np.abs(wave - 128) - 64
    scaled: Canvas = (wave * np.int16(height)) >> 6
    return scaled


def _objects(
    scenes: Scene, part: slice, resolution: int
) -> Iterator[tuple[Ints, Ints, tuple[Grid, Grid], Canvas]]:
    """Yield for each size: row and slot of its objects, their windows, and coverage in them.

    Windows are rows (m, w) and columns (m, w) of pixels; coverage is int16 (m, w, w), 0 to 64.
    """
    for size in range(len(SIZES)):
        rows, slots = np.nonzero(scenes.size[part] == size)
        if not len(rows):
            continue
        rows, slots = _by_shape(rows, slots, scenes.shape[part])
        shape, radius, turn, centre = (
            of[part][rows, slots]
            for of in (scenes.shape, scenes.radius, scenes.turn, scenes.centre)
        )
        window = _window(centre, 6390 if size == LARGE else 3933, resolution)
        cover = np.empty((len(rows), window[0].shape[1], window[1].shape[1]), dtype=np.int16)
        for kind, distance in enumerate(DISTANCES):
            of_kind = slice(*np.searchsorted(shape, (kind, kind + 1)))
            x, y = _local(
                window[0][of_kind], window[1][of_kind], centre[of_kind], turn[of_kind], resolution
            )
            reach = distance(x, y, radius[of_kind, None, None].astype(np.int32))
            cover[of_kind] = _coverage(reach, resolution)
        yield rows, slots, window, cover


def _by_shape(rows: Ints, slots: Ints, shape: Ints) -> tuple[Ints, Ints]:
    order = np.argsort(shape[rows, slots], kind="stable")
    return rows[order], slots[order]


def _window(centre: Ints, reach: int, resolution: int) -> tuple[Grid, Grid]:
    """Return rows and columns (m, w) of the pixels within `reach` of the centres, and edges."""
    width = min(resolution, 2 * reach * resolution // UNIT + 4)
    first = ((centre - reach) * resolution) // UNIT - 1
    first = np.clip(first, 0, resolution - width).astype(np.int32)
    steps = np.arange(width, dtype=np.int32)
    return first[:, 1, None] + steps, first[:, 0, None] + steps


def _local(
    rows: Grid, columns: Grid, centre: Ints, turn: Ints, resolution: int
) -> tuple[Grid, Grid]:
    """Return pixel centres in the frame of the shape, int32 (m, w, w) each, in UNITs."""
    x = ((2 * columns + 1) * UNIT // (2 * resolution) - centre[:, :1]).astype(np.int32)
    y = ((2 * rows + 1) * UNIT // (2 * resolution) - centre[:, 1:]).astype(np.int32)
    cos, sin = np.moveaxis(TURNS[turn].astype(np.int32), -1, 0)[..., None]
    across = (x * cos)[:, None, :] + (y * sin)[:, :, None]
    down = (y * cos)[:, :, None] - (x * sin)[:, None, :]
    across >>= 12
    down >>= 12
    return across, down


def _coverage(distance: Grid, resolution: int) -> Canvas:
    """Turn distances into the covered part of a pixel: int16, 0 to 64."""
    pixel = UNIT // resolution
    np.clip(distance, -pixel, pixel, out=distance)
    distance *= resolution
    distance >>= 15 - _EDGE_BITS
    np.subtract(32, distance, out=distance)
    return np.clip(distance, 0, 64, out=distance).astype(np.int16)


def _paint(colour: Ints, keys: Keys, slots: Ints, window: tuple[Grid, Grid], height: int) -> Canvas:
    """Return the surface of objects with their own fine wave: int16 (m, w, w, 3)."""
    keys = keys + slots.astype(np.uint64) + np.uint64(1)
    tint = np.stack([draw_below(keys, 1 + k, 25) - 12 for k in range(3)], axis=1)
    base = _COLOUR_RGB[colour] + tint.astype(np.int16)
    return base[:, None, None, :] + _wave(keys, 6, window, height)[..., None]
