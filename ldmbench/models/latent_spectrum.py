"""Spectra of latents: the power of each zigzag frequency of their discrete cosine transform.

As arXiv:2502.14831 ("Improving the Diffusability of Autoencoders") analyses latents: each channel
is transformed by a two-dimensional DCT-II, and its coefficients are put in zigzag order, from the
mean of the map to its finest detail.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["band_powers", "cosines", "has_spectrum"]


def has_spectrum(z: Tensor) -> bool:
    """Tell whether latents are maps (N, C, h, w) of more than one position."""
    return z.ndim == 4 and z.shape[2] * z.shape[3] > 1


def cosines(side: int) -> Tensor:
    """Return the orthonormal DCT-II of a side: (side, side) float64, a row per frequency.

    D[u, x] = a(u) cos(pi (2 x + 1) u / (2 side)), a(0) = sqrt(1 / side), else sqrt(2 / side).
    """
    at = torch.arange(side, dtype=torch.float64)
    table = torch.cos(math.pi * (2 * at[None] + 1) * at[:, None] / (2 * side))
    table *= math.sqrt(2 / side)
    table[0] /= math.sqrt(2)
    return table


def band_powers(z: Tensor) -> Tensor:
    """Return the mean power of the DCT coefficients of each zigzag diagonal, (N, h + w - 1).

    Band d holds the coefficients (u, v) with u + v = d, of all channels; band 0 is the mean of a
    map, band h + w - 2 its finest detail. White noise of variance 1 has power 1 in every band.

    Args:
        z: (N, C, h, w) latents.

    Returns:
        float64 on the CPU.
    """
    height, width = z.shape[2:]
    found = cosines(height) @ z.detach().cpu().double() @ cosines(width).T
    power = found.square().mean(1).flatten(1)
    band = (torch.arange(height)[:, None] + torch.arange(width)[None]).flatten()
    sums = torch.zeros(len(z), height + width - 1, dtype=torch.float64)
    sums.index_add_(1, band, power)
    return sums / torch.bincount(band)
