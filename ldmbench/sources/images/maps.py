"""Maps of classes: PNG of one channel, whose values are classes, or say that a pixel is of none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ldmbench.errors import InputError
from ldmbench.sources.images.source import Pixels

__all__ = ["map_of", "refuse_values"]


def map_of(file: Path, where: str) -> Pixels:
    """Return a map's values, uint8 (H, W).

    Args:
        file: where it lies.
        where: what errors call it.

    Raises:
        InputError: it is no PNG, or has several channels or more than 8 bits.
    """
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            if picture.mode not in ("L", "P"):
                raise InputError(
                    f"{where}: a map of mode {picture.mode}; maps are PNG of one channel, 8 bits"
                )
            return np.array(picture)
    except OSError as error:
        raise InputError(f"{where}: not a readable PNG ({error}); replace it") from None


def refuse_values(values: Pixels, where: str, classes: int, shift: int) -> None:
    """Refuse a map with a value that is no class.

    Args:
        values: uint8 (H, W).
        where: what errors call it.
        classes: how many there are.
        shift: added to values, modulo 256, so that 0 is no class and 1 + c is class c.

    Raises:
        InputError: a value is no class.
    """
    highest = int((values + np.uint8(shift)).max())
    if highest > classes:
        raise InputError(
            f"{where}: has the value {(highest - shift) % 256}, and there are {classes} classes,"
            f" from {(1 - shift) % 256}; {-shift % 256} is of none; mend or remove it"
        )
