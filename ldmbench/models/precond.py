"""What a denoiser predicts, behind one interface: noise, v or the clean latent.

A network is called as it is; an objective says what it was trained to return, and turns that into
noise or into a clean latent. All hold for any forward process z_t = signal z_0 + spread eps. To
add one (the velocity of a flow, say): a class of this interface and a row in `OBJECTIVES`.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ldmbench.sample.schedule import Prediction, Schedule

__all__ = ["OBJECTIVES", "Levels", "Objective", "levels_of"]

Levels = tuple[Tensor, Tensor]
"""signal and spread of each latent of a batch, (B, 1, 1, 1)."""


class Objective(Protocol):
    """What a network returns for z_t (B, C, h, w), and what that says of noise and clean latent."""

    def target(self, clean: Tensor, noise: Tensor, levels: Levels) -> Tensor:
        """Return what training asks the network for."""
        ...

    def noise(self, out: Tensor, z: Tensor, levels: Levels) -> Tensor:
        """Return the noise in z, if the network returned `out`."""
        ...

    def clean(self, out: Tensor, z: Tensor, levels: Levels) -> Tensor:
        """Return the clean latent of z, if the network returned `out`."""
        ...


class Noise:
    """eps (arXiv:2006.11239, equation 14)."""

    def target(self, clean: Tensor, noise: Tensor, levels: Levels) -> Tensor:
        """Return the noise."""
        return noise

    def noise(self, out: Tensor, z: Tensor, levels: Levels) -> Tensor:
        """Return it as it is."""
        return out

    def clean(self, out: Tensor, z: Tensor, levels: Levels) -> Tensor:
        """Return (z - spread eps) / signal."""
        signal, spread = levels
        return (z - spread * out) / signal


class V:
    """v = signal eps - spread z_0 (arXiv:2202.00512, appendix D)."""

    def target(self, clean: Tensor, noise: Tensor, levels: Levels) -> Tensor:
        """Return v."""
        signal, spread = levels
        return signal * noise - spread * clean

    def noise(self, out: Tensor, z: Tensor, levels: Levels) -> Tensor:
        """Return signal v + spread z."""
        signal, spread = levels
        return signal * out + spread * z

    def clean(self, out: Tensor, z: Tensor, levels: Levels) -> Tensor:
        """Return signal z - spread v."""
        signal, spread = levels
        return signal * z - spread * out


class Clean:
    """z_0 itself."""

    def target(self, clean: Tensor, noise: Tensor, levels: Levels) -> Tensor:
        """Return the clean latent."""
        return clean

    def noise(self, out: Tensor, z: Tensor, levels: Levels) -> Tensor:
        """Return (z - signal z_0) / spread."""
        signal, spread = levels
        return (z - signal * out) / spread

    def clean(self, out: Tensor, z: Tensor, levels: Levels) -> Tensor:
        """Return it as it is."""
        return out


OBJECTIVES: dict[Prediction, Objective] = {
    "epsilon": Noise(),
    "v_prediction": V(),
    "sample": Clean(),
}
"""By the word that a schedule (and a diffusers scheduler's prediction_type) has for them."""


def levels_of(schedule: Schedule, t: Tensor, like: Tensor) -> Levels:
    """Return sqrt(abar_t) and sqrt(1 - abar_t) of timesteps t (B,), of the dtype of `like`."""
    bars = torch.as_tensor(schedule.alphas_cumprod(), device=like.device)[t][:, None, None, None]
    return bars.sqrt().to(like.dtype), (1 - bars).sqrt().to(like.dtype)
