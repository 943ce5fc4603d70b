"""What training reads: images, latents, and the randomness of a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ldmbench.data.batch import Ints, Pixels
from ldmbench.seeds import derive_seed

__all__ = ["Images", "Latents", "generator_at", "images_at", "latents_at"]


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


def images_at(images: Images, indices: Ints, device: torch.device) -> Tensor:
    """Return NCHW float32 in [-1, 1] on the device."""
    pixels = torch.from_numpy(np.ascontiguousarray(images.images(indices))).to(device)
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0).contiguous()


def latents_at(latents: Latents, indices: Ints, device: torch.device) -> Tensor:
    """Return latents NCHW float32 on the device, in memory of their own."""
    return torch.tensor(latents.read(indices), dtype=torch.float32, device=device)


def generator_at(purpose: str, seed: int, step: int, device: torch.device) -> torch.Generator:
    """Return the generator of one step."""
    return torch.Generator(device=device).manual_seed(derive_seed(purpose, seed, step))
