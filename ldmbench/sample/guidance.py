"""Classifier-free guidance: two predictions into one."""

from __future__ import annotations

import torch

__all__ = ["mix"]


def mix(
    cond: torch.Tensor, uncond: torch.Tensor, *, guidance: float, channels: int
) -> torch.Tensor:
    """Return uncond + g (cond - uncond) (arXiv:2207.12598, eq. 6, g = 1 + w).

    Args:
        cond: prediction under the condition, (B, C or 2C, h, w).
        uncond: prediction under the null condition, of the same shape.
        guidance: g.
        channels: C; the variance channels of a learned sigma stay those of `cond`.
    """
    base = uncond[:, :channels]
    mixed = base + guidance * (cond[:, :channels] - base)
    if cond.shape[1] == channels:
        return mixed
    return torch.cat([mixed, cond[:, channels:]], dim=1)
