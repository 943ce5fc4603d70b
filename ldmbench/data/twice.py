"""Training images and their mirror images, as one data set of twice the size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ldmbench.data.batch import Ints, Pixels
from ldmbench.data.contexts import ContextShards
from ldmbench.data.shards import ArrayShards, ImageShards

__all__ = ["MIRRORED", "TwiceContexts", "TwiceImages", "TwiceLatents"]

MIRRORED = "mirrored.npy"
"""The file of the latents of mirror images, beside those of the images."""


@dataclass(frozen=True)
class TwiceImages:
    """Image N + i is the mirror image of image i, of the same caption and class."""

    found: ImageShards

    def __len__(self) -> int:
        """Return 2 N."""
        return 2 * len(self.found)

    def images(self, indices: Ints) -> Pixels:
        """Return uint8 NHWC."""
        made = self.found.images(indices % len(self.found))
        mirrored = indices >= len(self.found)
        return np.where(mirrored[:, None, None, None], made[:, :, ::-1], made)

    def labels(self, indices: Ints) -> Ints:
        """Return int64 (N,)."""
        return self.found.labels(indices % len(self.found))

    def captions(self, indices: Ints) -> Sequence[str]:
        """Return N texts."""
        return self.found.captions(indices % len(self.found))


@dataclass(frozen=True)
class TwiceLatents:
    """Latents of images, then those of their mirror images."""

    found: ArrayShards
    mirrored: ArrayShards

    def __len__(self) -> int:
        """Return 2 N."""
        return 2 * len(self.found)

    def read(self, indices: Ints) -> npt.NDArray[Any]:
        """Return float (N, C, h, w), scaled."""
        count = len(self.found)
        first, second = indices < count, indices >= count
        parts = self.found.read(indices[first]), self.mirrored.read(indices[second] - count)
        made = np.empty((len(indices), *parts[0].shape[1:]), parts[0].dtype)
        made[first], made[second] = parts
        return made


@dataclass(frozen=True)
class TwiceContexts:
    """Contexts of the captions of images, then those of their mirror images, which are the same."""

    found: ContextShards

    def read(self, indices: Ints) -> npt.NDArray[Any]:
        """Return float32 (N, L, D)."""
        return self.found.read(indices % len(self.found))

    @property
    def null(self) -> npt.NDArray[Any]:
        """Return that of the empty caption, float32 (L, D)."""
        return self.found.null
