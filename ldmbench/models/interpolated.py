"""Latents moved towards a neighbour among training latents: what interpolated FID decodes.

arXiv:2603.05630; github.com/tongdaxu/Making-rFID-Predictive-of-Diffusion-gFID at bac6ede.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ldmbench.seeds import derive_seed

__all__ = ["costs_of", "drawn", "nearest", "slerp", "towards_neighbours"]

TINY = 1e-7


def costs_of(train: Tensor, z: Tensor) -> Tensor:
    """Return minus the cosine similarity of latents (N, D) and (B, D): (B, N), float32."""
    units = [part / part.norm(dim=1, keepdim=True) for part in (z, train)]
    similarity: Tensor = units[0] @ units[1].T
    return -similarity


def nearest(train: Tensor, z: Tensor, *, k: int) -> tuple[Tensor, Tensor]:
    """Return the k training latents of least cost, (B, k), and the chance of each to be drawn.

    The chances are the softmax of minus the mean squared difference.
    """
    places = costs_of(train, z).topk(k, dim=1, largest=False).indices
    apart = (train[places] - z[:, None]).square().mean(dim=2)
    return places, torch.softmax(-apart, dim=1)


def drawn(chances: Tensor, seeds: Sequence[int], *, seed: int) -> Tensor:
    """Return one place of each row (B,), by a uniform number that depends on (seed, i) alone."""
    numbers = [derive_seed("neighbour", seed, i) / 2**63 for i in seeds]
    at = torch.tensor(numbers, dtype=torch.float64, device=chances.device)
    places = torch.searchsorted(chances.double().cumsum(1), at[:, None]).squeeze(1)
    return places.clamp(max=chances.shape[1] - 1)


def slerp(a: Tensor, b: Tensor, alpha: float) -> Tensor:
    """Return latents (B, D) between a and b by angle; their norms are not made equal.

    Where they are nearly parallel, or opposite, between them by a straight line, or 0: as the
    original computes it.
    """
    x, y = (part / (part.norm(dim=1, keepdim=True) + TINY) for part in (a, b))
    angle = torch.acos((x * y).sum(1, keepdim=True).clamp(-1, 1))
    sine = torch.sin(angle)
    by_angle = (
        torch.sin((1 - alpha) * angle) / (sine + TINY) * a
        + torch.sin(alpha * angle) / (sine + TINY) * b
    )
    return torch.where(sine < 1e-6, (1 - alpha) * a + alpha * b, by_angle)


def towards_neighbours(
    train: Tensor, z: Tensor, seeds: Sequence[int], *, k: int, alpha: float, seed: int
) -> Tensor:
    """Return latents of the shape of z, each moved towards one of its k nearest in training.

    Args:
        train: (N, D), N >= k.
        z: (B, C, h, w).
        seeds: one per latent, for the draw of its neighbour.
        k: how many neighbours there are to draw from.
        alpha: how far; 0 stays.
        seed: of all draws.
    """
    flat = z.flatten(1)
    places, chances = nearest(train, flat, k=k)
    picked = drawn(chances, seeds, seed=seed)
    chosen = places[torch.arange(len(z), device=places.device), picked]
    return slerp(flat, train[chosen], alpha).reshape(z.shape)
