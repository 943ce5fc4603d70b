"""Statistics of latents: sums that shards of images add up to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["LatentSums"]


class LatentSums:
    """Sums over the latents of images, per channel, in float64."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self.n = 0
        self.sums: tuple[Tensor, Tensor] | None = None

    def add(self, z: Tensor) -> None:
        """Add latents (N, C, ...), as the first stage makes them, without its scale."""
        flat = z.detach().cpu().double().flatten(2) if z.ndim > 2 else z.detach().cpu().double()
        axes = tuple(n for n in range(flat.ndim) if n != 1)
        new = flat.sum(axes), flat.square().sum(axes)
        old = self.sums or (torch.zeros_like(new[0]), torch.zeros_like(new[1]))
        self.sums = old[0] + new[0], old[1] + new[1]
        self.shape, self.n = tuple(z.shape[1:]), self.n + len(z)

    def to_json(self) -> dict[str, Any]:
        """Return shape, count of images, and sums and sums of squares of each channel."""
        assert self.sums is not None
        total, squares = (part.tolist() for part in self.sums)
        return {"shape": list(self.shape), "n": self.n, "sums": total, "squares": squares}
