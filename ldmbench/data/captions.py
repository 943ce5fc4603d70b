"""Captions: the sentence that describes a scene, and sentences that miss it by one attribute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ldmbench.data.counter import draw, stream_keys
from ldmbench.data.scenes import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    SHAPES,
    SIZES,
    SLOTS,
    Scene,
    possible,
    scene,
)
from ldmbench.errors import InputError

__all__ = ["VOCABULARY", "caption_variants", "captions"]

VOCABULARY: tuple[str, ...] = tuple(
    sorted(
        {*SHAPES, *COLOURS, *BACKGROUNDS, *SIZES, "a", "background", "on"}.union(
            *(place.split() for place in PLACES)
        )
    )
)


@dataclass(frozen=True)
class _Wording:
    """The attributes of one scene as rows of the tables, one entry per object."""

    shape: tuple[int, ...]
    colour: tuple[int, ...]
    size: tuple[int, ...]
    place: tuple[int, ...]
    background: int

    def text(self) -> str:
        parts = [
            f"a {SIZES[size]} {COLOURS[colour]} {SHAPES[shape]} {PLACES[place]}"
            for shape, colour, size, place in zip(self.shape, self.colour, self.size, self.place)
        ]
        return ", ".join([*parts, f"on a {BACKGROUNDS[self.background]} background"])

    def sensible(self) -> bool:
        """Whether the dataset could contain this scene."""
        colours = {COLOURS[c] for c in self.colour}
        return BACKGROUNDS[self.background] not in colours and possible(self.size, self.place)


def captions(scenes: Scene) -> tuple[str, ...]:
    """Return one caption per scene: the largest object first, the background last.

    Words are those of VOCABULARY; parts are joined by ", ".
    """
    return tuple(_wording(scenes, i).text() for i in range(len(scenes)))


def caption_variants(
    index: int, seed: int = 0, count: int = 1, *, objects: tuple[int, int] = (1, SLOTS)
) -> tuple[str, ...]:
    """Return captions that are false for image `index` in exactly one attribute.

    Each changes one object's shape, colour, size or place, or the background, into another that
    the dataset could have shown. They are distinct and in a seeded order.

    Raises:
        InputError: if the scene has fewer than `count` such captions.
    """
    at = np.array([index], dtype=np.int64)
    found = [w.text() for w in _neighbours(_wording(scene(at, seed, objects), 0))]
    if not 0 <= count <= len(found):
        raise InputError(
            f"image {index} has {len(found)} captions that differ by one attribute, "
            f"{count} were asked for; ask for fewer"
        )
    key = stream_keys("shapes-variants", seed, at)
    order = sorted(range(len(found)), key=lambda k: int(draw(key, k)[0]))
    return tuple(found[k] for k in order[:count])


def _wording(scenes: Scene, i: int) -> _Wording:
    n = int(scenes.count[i])
    shape, colour, size, place = (
        tuple(int(v) for v in part[i, :n])
        for part in (scenes.shape, scenes.colour, scenes.size, scenes.place)
    )
    return _Wording(shape, colour, size, place, int(scenes.background[i]))


def _neighbours(true: _Wording) -> Iterator[_Wording]:
    """Yield the sensible wordings at one attribute's distance."""
    tables = {"shape": SHAPES, "colour": COLOURS, "size": SIZES, "place": PLACES}
    for field, table in tables.items():
        values: tuple[int, ...] = getattr(true, field)
        for k in range(len(values)):
            for value in range(len(table)):
                changed = replace(true, **{field: (*values[:k], value, *values[k + 1 :])})  # type: ignore[arg-type]
                if value != values[k] and changed.sensible():
                    yield changed
    for background in range(len(BACKGROUNDS)):
        changed = replace(true, background=background)
        if background != true.background and changed.sensible():
            yield changed
