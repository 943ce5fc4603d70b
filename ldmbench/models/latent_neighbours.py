"""Distances of latents to their nearest training latents, for their intrinsic dimension."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["nearest_distances", "spread"]

ROWS = 256
"""Of training latents that are in memory in float64 at a time."""


def spread(train: Tensor) -> float:
    """Return the root mean squared distance of two latents (N, D): sqrt(2 x total variance)."""
    middle = train.mean(0, dtype=torch.float64)
    squares = [(part.double() - middle).square().sum() for part in torch.split(train, ROWS)]
    return float((2 * torch.stack(squares).sum() / len(train)).sqrt())


def nearest_distances(train: Tensor, z: Tensor, *, k: int) -> Tensor:
    """Return the Euclidean distances of latents to their k nearest in training, ascending.

    Twice as many candidates are found by products in float32, which lose small distances to the
    norms of latents; their distances are those of the differences, in float64.

    Args:
        train: (N, D), N >= k.
        z: (B, D).
        k: how many.

    Returns:
        (B, k) float64 on the CPU.
    """
    found = torch.cdist(z, train).topk(min(2 * k, len(train)), dim=1, largest=False).indices
    apart = [
        (train[rows].double() - one.double()).norm(dim=1)
        for rows, one in zip(found, z, strict=True)
    ]
    return torch.stack(apart).sort(dim=1).values[:, :k].cpu()
