"""Scenes: what an image of the embedded dataset shows, before any pixel is drawn.

All lengths are integers in units of 1 / UNIT of the image's side, so a scene has no resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from ldmbench.data.batch import Ints
from ldmbench.data.counter import Keys, draw_below, stream_keys
from ldmbench.errors import InputError
from ldmbench.sources.kinds.shapes import CLASSES, COLOURS, SHAPES

__all__ = [
    "BACKGROUNDS",
    "CLASSES",
    "COLOURS",
    "LARGE",
    "PLACES",
    "SHAPES",
    "SIZES",
    "SLOTS",
    "SMALL",
    "TURNS",
    "UNIT",
    "Scene",
    "possible",
    "scene",
]

SLOTS = 3
UNIT = 1 << 15
BACKGROUNDS = ("black", "gray", "brown", "white", "green", "blue")
SIZES = ("small", "large")
PLACES = (
    "at the top left",
    "at the top",
    "at the top right",
    "on the left",
    "in the center",
    "on the right",
    "at the bottom left",
    "at the bottom",
    "at the bottom right",
)
SMALL, LARGE = 0, 1

# (4096 cos a, 4096 sin a) for a = -14, -10, -6, -2, 2, 6, 10, 14 degrees, rounded
TURNS = np.array(
    [
        (3974, -991),
        (4034, -711),
        (4074, -428),
        (4094, -143),
        (4094, 143),
        (4074, 428),
        (4034, 711),
        (3974, 991),
    ],
    dtype=np.int64,
)

_CENTRES = (7209, 16384, 25559)  # 0.22, 0.5, 0.78 of the side
_JITTER = 819  # 0.025
# fmt: off
# circumscribed radius in UNITs: (size, is it the first object) -> (smallest, number of values)
_RADII = np.array([
    [(2949, 328), (3440, 493)],    # small: others 0.090-0.100, first 0.105-0.120
    [(4751, 492), (5734, 656)],    # large: others 0.145-0.160, first 0.175-0.195
], dtype=np.int64)
# fmt: on


@dataclass(frozen=True)
class Scene:
    """Attributes of N scenes; absent objects have -1 everywhere.

    Attributes:
        count: int64 (N,), number of objects, 1 to SLOTS.
        shape: int64 (N, SLOTS), row of SHAPES.
        colour: int64 (N, SLOTS), row of COLOURS.
        size: int64 (N, SLOTS), row of SIZES.
        place: int64 (N, SLOTS), row of PLACES.
        background: int64 (N,), row of BACKGROUNDS.
        centre: int64 (N, SLOTS, 2), x and y in UNITs.
        radius: int64 (N, SLOTS), circumscribed radius in UNITs; the first object's is the largest.
        turn: int64 (N, SLOTS), row of TURNS.
    """

    count: Ints
    shape: Ints
    colour: Ints
    size: Ints
    place: Ints
    background: Ints
    centre: Ints
    radius: Ints
    turn: Ints

    @property
    def object_class(self) -> Ints:
        """Row of CLASSES of each object, int64 (N, SLOTS), -1 where absent."""
        return np.where(self.shape < 0, -1, self.shape * len(COLOURS) + self.colour)

    @property
    def label(self) -> Ints:
        """Row of CLASSES of the largest object, int64 (N,)."""
        return self.object_class[:, 0]

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self.count)


def scene(indices: Ints, seed: int = 0, objects: tuple[int, int] = (1, SLOTS)) -> Scene:
    """Return the scenes of these indices under a seed; nothing is rendered.

    Args:
        indices: integers (N,), 0 or more; image i is the same whatever else is in the batch.
        seed: which dataset.
        objects: fewest and most objects in a scene, 1 to 3.

    Raises:
        InputError: if an index is negative or `objects` is not a range within 1 to 3.
    """
    least, most = _checked(indices, objects)
    keys = stream_keys("shapes", seed, np.asarray(indices, dtype=np.int64))
    count = least + draw_below(keys, 0, most - least + 1)
    absent = np.arange(SLOTS) >= count[:, None]
    shape = _each(keys, 10, len(SHAPES))
    colour = _each(keys, 20, len(COLOURS))
    size = _sizes(keys)
    size[absent] = -1
    place = _places(keys, size)
    turn = _each(keys, 30, len(TURNS))
    radius = _radii(keys, size)
    centre = _centres(keys, place)
    for part in (shape, colour, turn, radius, centre):
        part[absent] = -1
    background = _background(keys, colour)
    return Scene(count, shape, colour, size, place, background, centre, radius, turn)


def possible(size: tuple[int, ...], place: tuple[int, ...]) -> bool:
    """Whether a scene can have objects of these sizes at these places, in this order.

    No object is larger than the first, and none are so near that they could touch: small ones
    may be diagonal neighbours of any, large ones stay two places apart.
    """
    if max(size) > size[0]:
        return False
    pairs = [(a, b) for a in range(len(size)) for b in range(a)]
    return all(
        _apart(place[a], place[b]) >= (4 if size[a] == size[b] == LARGE else 2) for a, b in pairs
    )


def _apart(a: int, b: int) -> int:
    """Return the squared distance between two places in steps of the 3 x 3 grid."""
    return (a // 3 - b // 3) ** 2 + (a % 3 - b % 3) ** 2


def _checked(indices: Ints, objects: tuple[int, int]) -> tuple[int, int]:
    least, most = objects
    if not 1 <= least <= most <= SLOTS:
        raise InputError(f"objects is {objects}; give (fewest, most) within 1 to {SLOTS}")
    if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer):
        raise InputError(
            f"image indices are {indices.dtype} {indices.shape}; give one row of integers"
        )
    if indices.size and indices.min() < 0:
        raise InputError(f"image index {indices.min()} is negative; indices start at 0")
    return least, most


def _each(keys: Keys, counter: int, bound: int) -> Ints:
    """Draw one number per object, int64 (N, SLOTS)."""
    return np.stack([draw_below(keys, counter + k, bound) for k in range(SLOTS)], axis=1)


def _sizes(keys: Keys) -> Ints:
    """Draw sizes: the first is large in 3 of 4 scenes, another only then, in 1 of 3."""
    size = (_each(keys, 40, 12) < np.array([9, 4, 4])).astype(np.int64)
    size[:, 1:] *= size[:, :1]
    return size


def _layouts() -> tuple[Ints, Ints]:
    """List for every pattern of sizes the possible places: (27, most, SLOTS) and (27,) counts."""
    rows: list[list[tuple[int, ...]]] = [[] for _ in range(27)]
    for code in range(27):
        sizes = (code // 9 - 1, code // 3 % 3 - 1, code % 3 - 1)
        present = tuple(s for s in sizes if s >= 0)
        if not present or sizes[: len(present)] != present:
            continue
        for places in permutations(range(len(PLACES)), len(present)):
            if possible(present, places):
                rows[code].append(places + (-1,) * (SLOTS - len(present)))
    table = np.full((27, max(map(len, rows)), SLOTS), -1, dtype=np.int64)
    for code, found in enumerate(rows):
        table[code, : len(found)] = np.array(found, dtype=np.int64).reshape(-1, SLOTS)
    return table, np.array([len(found) for found in rows], dtype=np.int64)


_LAYOUTS, _LAYOUT_COUNTS = _layouts()


def _places(keys: Keys, size: Ints) -> Ints:
    """Draw one of the possible layouts for the sizes, all equally likely."""
    code = (size + 1) @ np.array([9, 3, 1])
    places: Ints = _LAYOUTS[code, draw_below(keys, 50, _LAYOUT_COUNTS[code])]
    return places


def _radii(keys: Keys, size: Ints) -> Ints:
    smallest, values = np.moveaxis(_RADII[size, (np.arange(SLOTS) == 0).astype(int)], -1, 0)
    radius: Ints = smallest + ((_each(keys, 60, 1 << 20) * values) >> 20)
    return radius


def _centres(keys: Keys, place: Ints) -> Ints:
    grid = np.array(_CENTRES, dtype=np.int64)
    x = grid[place % 3] + _each(keys, 70, 2 * _JITTER + 1) - _JITTER
    y = grid[place // 3 % 3] + _each(keys, 80, 2 * _JITTER + 1) - _JITTER
    return np.stack([x, y], axis=2)


def _background(keys: Keys, colour: Ints) -> Ints:
    """Draw a background whose name is no object's colour."""
    same = np.array([[b == c for c in (*COLOURS, None)] for b in BACKGROUNDS])
    allowed = ~same[:, colour].any(axis=2).T
    pick = draw_below(keys, 90, allowed.sum(axis=1))
    chosen: Ints = np.argmax(np.cumsum(allowed, axis=1) > pick[:, None], axis=1)
    return chosen.astype(np.int64)
