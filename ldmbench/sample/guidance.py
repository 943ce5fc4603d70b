"""Classifier-free guidance: two predictions into one."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["guided", "mix"]

Denoise = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


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
    return torch.cat([mixed, cond[:, channels:]], dim=1)


def guided(cond: Denoise, uncond: Denoise | None, *, guidance: float) -> Denoise:
    """Return one denoiser of two; at g = 1 the conditional one as it is, evaluated once a step.

    Args:
        cond: (z, t) -> prediction under the condition; z (B, C, h, w), t (B,).
        uncond: the same under the null condition; may be None at g = 1.
        guidance: g of `mix`.
    """
    if guidance == 1.0 or uncond is None:
        return cond

    def both(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return mix(cond(z, t), uncond(z, t), guidance=guidance, channels=z.shape[1])

    return both
