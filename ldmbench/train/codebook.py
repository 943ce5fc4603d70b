"""Keeping a VQ's codebook alive in short trainings: start and restart codes at latents.

Unused codes are put at random latents of the batch (arXiv:2005.00341, section 3.1). The paper of
latent diffusion does without; with few steps most codes would otherwise never be used.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["count_uses", "place_codes"]


@torch.no_grad()
def count_uses(codes: Tensor, uses: Tensor) -> None:
    """Add to `uses`, float32 (codebook,), how often each of `codes` occurs."""
    uses += torch.bincount(codes.flatten(), minlength=len(uses)).to(uses)


@torch.no_grad()
def place_codes(
    codebook: nn.Parameter, z: Tensor, where: Tensor, *, generator: torch.Generator
) -> None:
    """Overwrite the codes at `where`, bool (codebook,), by random positions of z, NCHW.

    A little noise keeps codes apart that were drawn from the same position.
    """
    points = z.permute(0, 2, 3, 1).flatten(0, 2)
    drawn = torch.randint(len(points), where.shape, generator=generator, device=z.device)
    noise = torch.randn(codebook.shape, generator=generator, device=z.device)
    fresh = points[drawn] + 0.01 * points.std() * noise
    codebook.copy_(torch.where(where[:, None], fresh, codebook))
