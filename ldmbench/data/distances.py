"""Signed distances and boxes of the six shapes, in integers.

Every function takes coordinates relative to the centre, turned into the shape's own frame, and
the circumscribed radius, all int32 in UNITs (scenes.py), and returns an int32 distance: negative
inside, exact near straight edges, first-order near arcs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ldmbench.data.batch import Floats, Ints
from ldmbench.data.scenes import SHAPES, TURNS, UNIT, Scene

__all__ = ["DISTANCES", "Grid", "boxes"]

Grid: TypeAlias = npt.NDArray[np.int32]

_BITS = 12  # fractions of the radius and unit normals are in 1 / 4096


def _part(radius: Grid, fraction: int) -> Grid:
    return (radius * fraction) >> _BITS


def _disc(x: Grid, y: Grid, radius: Grid) -> Grid:
    distance: Grid = (x * x + y * y - radius * radius) // (2 * radius)
    return distance


def _circle(x: Grid, y: Grid, radius: Grid) -> Grid:
    return _disc(x, y, _part(radius, 3768))  # 0.92


def _ring(x: Grid, y: Grid, radius: Grid) -> Grid:
    outer, inner = _part(radius, 4014), _part(radius, 2130)  # 0.98, 0.52
    return np.maximum(_disc(x, y, outer), -_disc(x, y, inner))


def _square(x: Grid, y: Grid, radius: Grid) -> Grid:
    return np.maximum(np.abs(x), np.abs(y)) - _part(radius, 2867)  # 0.70


def _cross(x: Grid, y: Grid, radius: Grid) -> Grid:
    x, y = np.abs(x), np.abs(y)
    length, width = _part(radius, 3891), _part(radius, 1188)  # 0.95, 0.29
    distance: Grid = np.maximum(np.maximum(x, y) - length, np.minimum(x, y) - width)
    return distance


def _triangle(x: Grid, y: Grid, radius: Grid) -> Grid:
    # normals (0, 1) and (sin 60, -cos 60); y points down, so the tip is up
    sides = (np.abs(x) * 3547 - y * 2048) >> _BITS
    distance: Grid = np.maximum(sides, y) - (radius >> 1)
    return distance


def _star(x: Grid, y: Grid, radius: Grid) -> Grid:
    # fold the plane into one tenth: mirrors with normals at 36 degrees to the vertical axis
    x, y = np.abs(x), -y
    beyond = np.maximum((x * 3314 - y * 2408) >> _BITS, 0)
    x, y = x - ((beyond * 6627) >> _BITS), y + ((beyond * 4815) >> _BITS)
    beyond = np.maximum((-x * 3314 - y * 2408) >> _BITS, 0)
    x, y = np.abs(x + ((beyond * 6627) >> _BITS)), y + ((beyond * 4815) >> _BITS)
    # the edge from the tip (0, 1) to the notch 0.48 (sin 36, cos 36)
    return (x * 3721 + (y - radius) * 1715) >> _BITS


DISTANCES: tuple[Callable[[Grid, Grid, Grid], Grid], ...] = (
    _circle,
    _square,
    _triangle,
    _star,
    _cross,
    _ring,
)


def boxes(scenes: Scene) -> Floats:
    """Return the tight boxes of all objects, float32 (N, 3, 4) x0 y0 x1 y1 in [0, 1], or -1."""
    cos, sin = np.moveaxis(TURNS[scenes.turn], -1, 0)[..., None]
    x, y = np.moveaxis(_CORNERS[scenes.shape], -1, 0)
    corners = np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1)  # (N, 3, K, 2)
    low, high = corners.min(axis=2), corners.max(axis=2)
    reach = _ROUND[scenes.shape][..., None] << _BITS
    low, high = np.where(reach > 0, -reach, low), np.where(reach > 0, reach, high)
    scale = scenes.radius[..., None]
    centre = scenes.centre << (2 * _BITS)
    edges = np.concatenate([centre + low * scale, centre + high * scale], axis=2)
    found = edges.astype(np.float64) / float(UNIT << (2 * _BITS))
    found[scenes.shape < 0] = -1
    return found.astype(np.float32)


def _corners() -> tuple[Ints, Ints]:
    """Return the corners (6, 10, 2) of the straight shapes and the radii (6,) of the round ones."""
    points = {
        "square": [(a, b) for a in (-2867, 2867) for b in (-2867, 2867)],
        "triangle": [(0, -4096), (3547, 2048), (-3547, 2048)],
        "star": [(0, -4096), (3896, -1266), (2408, 3314), (-2408, 3314), (-3896, -1266)],
        "cross": [(a, b) for a in (-3891, 3891) for b in (-1188, 1188)]
        + [(a, b) for a in (-1188, 1188) for b in (-3891, 3891)],
    }
    corners = np.zeros((len(SHAPES), 8, 2), dtype=np.int64)
    for name, found in points.items():
        corners[SHAPES.index(name)] = (found * 3)[:8] if len(found) < 8 else found
    round_ = np.zeros(len(SHAPES), dtype=np.int64)
    round_[SHAPES.index("circle")], round_[SHAPES.index("ring")] = 3768, 4014
    return corners, round_


_CORNERS, _ROUND = _corners()
