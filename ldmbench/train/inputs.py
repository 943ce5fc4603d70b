"""What training reads: images, latents, and the randomness of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ldmbench.ahead import ahead
from ldmbench.data.batch import Ints, Pixels
from ldmbench.models.tasks import Truth
from ldmbench.seeds import derive_seed

__all__ = [
    "Batches",
    "Contexts",
    "Images",
    "Latents",
    "Truths",
    "generator_at",
    "latents_at",
    "pixels_at",
    "scaled",
]

DEPTH = 2
"""Steps that are read ahead for a GPU."""


class Images(Protocol):
    """A dataset on disk."""

    def __len__(self) -> int:
        """Return the number of images."""

    def images(self, indices: Ints) -> Pixels:
        """Return uint8 NHWC."""

    def labels(self, indices: Ints) -> Ints:
        """Return int64 (N,)."""

    def captions(self, indices: Ints) -> Sequence[str]:
        """Return N texts."""


class Latents(Protocol):
    """Latents on disk, in the order of their images."""

    def __len__(self) -> int:
        """Return the number of latents."""

    def read(self, indices: Ints) -> npt.NDArray[Any]:
        """Return float (N, C, h, w), scaled."""


class Contexts(Protocol):
    """Contexts of captions on disk, in the order of their images."""

    def read(self, indices: Ints) -> npt.NDArray[Any]:
        """Return float32 (N, L, D)."""

    @property
    def null(self) -> npt.NDArray[Any]:
        """Return that of the empty caption, float32 (L, D)."""


class Truths(Protocol):
    """All that a dataset knows of its images."""

    def at(self, rows: Ints) -> Truth:
        """Return images with their captions, classes, boxes and masks."""


class Batches:
    """What each training step reads, on the device.

    For a GPU a thread reads ahead into pinned memory, so that no step waits for the disk or for a
    copy. On a CPU each step reads its own: there a thread gains nothing (tests/bench).

    Args:
        read: from a step's number to tensors of the CPU; the thread calls it, in order.
        device: where they shall be.
    """

    def __init__(self, read: Callable[[int], tuple[Tensor, ...]], device: torch.device) -> None:
        self._read, self._device = read, device
        self._next = -1
        self._items: Iterator[tuple[Tensor, ...]] = iter(())

    def at(self, n: int) -> tuple[Tensor, ...]:
        """Return what step n reads; on a GPU the steps behind it are begun."""
        if self._device.type != "cuda":
            return tuple(part.to(self._device) for part in self._read(n))
        if n != self._next:
            self._items = ahead(map(self._pinned, count(n)), depth=DEPTH)
        self._next = n + 1
        return tuple(part.to(self._device, non_blocking=True) for part in next(self._items))

    def _pinned(self, n: int) -> tuple[Tensor, ...]:
        return tuple(part.pin_memory() for part in self._read(n))


def pixels_at(images: Images, indices: Ints) -> Tensor:
    """Return uint8 NHWC on the CPU."""
    return torch.from_numpy(np.ascontiguousarray(images.images(indices)))


def scaled(pixels: Tensor) -> Tensor:
    """Return NCHW float32 in [-1, 1] of uint8 NHWC, on its device."""
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0).contiguous()


def latents_at(latents: Latents, indices: Ints) -> Tensor:
    """Return latents NCHW float32 on the CPU, in memory of their own."""
    return torch.tensor(latents.read(indices), dtype=torch.float32)


def generator_at(purpose: str, seed: int, step: int, device: torch.device) -> torch.Generator:
    """Return the generator of one step."""
    return torch.Generator(device=device).manual_seed(derive_seed(purpose, seed, step))
