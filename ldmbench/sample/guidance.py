"""Classifier-free guidance: two predictions into one."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["guided"]

Denoise = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def guided(cond: Denoise, uncond: Denoise | None, *, guidance: float) -> Denoise:
    """Return uncond + g (cond - uncond) as one denoiser (arXiv:2207.12598, eq. 6, g = 1 + w).

    At g = 1 the conditional denoiser is returned as it is: one evaluation a step, not two. The
    variance channels of a network with learned sigma are those of the conditional prediction.

    Args:
        cond: (z, t) -> prediction under the condition; z (B, C, h, w), t (B,).
        uncond: the same under the null condition; may be None at g = 1.
        guidance: g.
    """
    if guidance == 1.0 or uncond is None:
        return cond

    def both(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        with_cond, without = cond(z, t), uncond(z, t)
        channels = z.shape[1]
        mean, base = with_cond[:, :channels], without[:, :channels]
        mixed = base + guidance * (mean - base)
        return torch.cat([mixed, with_cond[:, channels:]], dim=1)

    return both
