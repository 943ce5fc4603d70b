"""Trivial baselines of tasks: samplers for `kind: call` that no network stands behind.

    bicubic: {kind: call, target: "ldmbench.models.baselines:Bicubic", conditioning: truth}

Each is told the real image (`conditioning: truth`) and makes of it what a task shows a model, in
the way in which the task does; docs/tasks.md says which belongs to which task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ldmbench.data.batch import Pixels
from ldmbench.data.masks import to_paint
from ldmbench.data.resize import prepare
from ldmbench.models.model import to_uint8
from ldmbench.models.tasks import blurred

__all__ = ["Bicubic", "Blurred", "MeanColour", "Real", "Shuffled"]


class Bicubic:
    """A small image, enlarged by Pillow's bicubic filter.

    Args:
        scale: side of an image / side of the small one.
        downscale: how it is made small.
    """

    def __init__(self, scale: int = 4, downscale: str = "pil-bicubic") -> None:
        self.scale, self.downscale = scale, downscale

    def sample(self, noise: Any, *, cond: Mapping[str, Any], **rest: Any) -> Pixels:
        """Return uint8 NHWC."""
        return np.stack([self._through(image) for image in cond["images"]])

    def _through(self, image: Pixels) -> Pixels:
        side = len(image)
        small = prepare(image, side // self.scale, crop="none", resize=self.downscale)
        return prepare(small, side, crop="none", resize="pil-bicubic", upscale=True)


class MeanColour:
    """A masked image whose hidden pixels have the mean colour of the others.

    Args:
        mask: where it is hidden.
    """

    def __init__(self, mask: str = "boxes") -> None:
        self.mask = mask

    def sample(self, noise: Any, *, cond: Mapping[str, Any], **rest: Any) -> Pixels:
        """Return uint8 NHWC."""
        images: Pixels = cond["images"].copy()
        hidden = to_paint(cond["indices"], images.shape[1], mask=self.mask) == 1
        for image, where in zip(images, hidden, strict=True):
            if where.any() and not where.all():
                image[where] = image[~where].mean(axis=0).round().astype(np.uint8)
        return images


class Blurred:
    """The blurred image itself.

    Args:
        blur: standard deviation in pixels.
    """

    def __init__(self, blur: float = 2.0) -> None:
        self.blur = blur

    def sample(self, noise: Any, *, cond: Mapping[str, Any], **rest: Any) -> Pixels:
        """Return uint8 NHWC."""
        return to_uint8(blurred(cond["images"], self.blur))


class Shuffled:
    """The real image of another condition: perfect pixels that do not follow what was asked."""

    def sample(self, noise: Any, *, cond: Mapping[str, Any], **rest: Any) -> Pixels:
        """Return uint8 NHWC."""
        return np.roll(cond["images"], 1, axis=0)


class Real:
    """The real image: what the networks behind a score read where nothing is wrong."""

    def sample(self, noise: Any, *, cond: Mapping[str, Any], **rest: Any) -> Pixels:
        """Return uint8 NHWC."""
        images: Pixels = cond["images"]
        return images
