"""What a denoiser predicts, behind one interface: noise, v, the clean latent or a velocity.

A network is called as it is; an objective says what it was trained to return, and turns that into
noise or into a clean latent. All hold for any forward process z_t = signal z_0 + spread eps. To
add one: a class of this interface and a row in `OBJECTIVES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from ldmbench.sample.schedule import Schedule

__all__ = ["FLOW", "OBJECTIVES", "Levels", "Objective", "levels_of", "snr_weights"]

FLOW = "flow"

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

    def slope(self, levels: Levels) -> Tensor:
        """Return how far the clean latent moves with `out`: |d clean / d out|, (B, 1, 1, 1)."""
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

    def slope(self, levels: Levels) -> Tensor:
        """Return spread / signal."""
        signal, spread = levels
        return spread / signal


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

    def slope(self, levels: Levels) -> Tensor:
        """Return spread."""
        return levels[1]


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

    def slope(self, levels: Levels) -> Tensor:
        """Return 1."""
        return torch.ones_like(levels[1])


class Velocity:
    """eps - z_0: the velocity of a straight path, whose signal and spread add to 1.

    Source: arXiv:2209.03003, equation 1; arXiv:2210.02747, equation 23 without its smallest sigma.
    """

    def target(self, clean: Tensor, noise: Tensor, levels: Levels) -> Tensor:
        """Return the velocity."""
        return noise - clean

    def noise(self, out: Tensor, z: Tensor, levels: Levels) -> Tensor:
        """Return (z + signal u) / (signal + spread)."""
        signal, spread = levels
        return (z + signal * out) / (signal + spread)

    def clean(self, out: Tensor, z: Tensor, levels: Levels) -> Tensor:
        """Return (z - spread u) / (signal + spread)."""
        signal, spread = levels
        return (z - spread * out) / (signal + spread)

    def slope(self, levels: Levels) -> Tensor:
        """Return spread / (signal + spread)."""
        signal, spread = levels
        return spread / (signal + spread)


OBJECTIVES: Mapping[str, Objective] = {
    "epsilon": Noise(),
    "v_prediction": V(),
    "sample": Clean(),
    FLOW: Velocity(),
}
"""By the word that a schedule (and a diffusers scheduler's prediction_type) has for them; flow is
that of models whose process is a straight path."""


def levels_of(schedule: Schedule, t: Tensor, like: Tensor) -> Levels:
    """Return sqrt(abar_t) and sqrt(1 - abar_t) of timesteps t (B,), of the dtype of `like`.

    A regression sees neither signal nor noise: both are 0.
    """
    bars = torch.as_tensor(schedule.alphas_cumprod(), device=like.device)[t][:, None, None, None]
    spread = torch.zeros_like(bars) if schedule.is_regression else (1 - bars).sqrt()
    return bars.sqrt().to(like.dtype), spread.to(like.dtype)


def snr_weights(objective: Objective, levels: Levels, *, gamma: float) -> Tensor:
    """Return min-SNR weights of squared errors of what a network returns, (B, 1, 1, 1).

    They are min(snr, gamma) of errors of the clean latent: min(snr, gamma) / snr for noise and
    min(snr, gamma) / (snr + 1) for v.

    Source: arXiv:2303.09556, section 3.4.
    """
    snr = (levels[0] / levels[1]).square()
    return snr.clamp(max=gamma) * objective.slope(levels).square()
