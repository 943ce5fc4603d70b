"""The forward process of a training: which times it draws, the levels there, and the loss."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ldmbench.models.precond import (
    FLOW,
    OBJECTIVES,
    Levels,
    Objective,
    levels_of,
    snr_weights,
)
from ldmbench.sample.objectives import schedule_of
from ldmbench.sample.schedule import Schedule
from ldmbench.schema.models import DenoiserParams

__all__ = ["Betas", "Forward", "StraightPath", "forward_of"]


class Forward(Protocol):
    """What a training needs to know of its forward process and objective."""

    def times(self, count: int, g: torch.Generator) -> Tensor:
        """Draw times of some images, (count,)."""
        ...

    def levels(self, t: Tensor) -> Levels:
        """Return signal and spread at times t (B,), each (B, 1, 1, 1) float32."""
        ...

    def loss(self, predicted: Tensor, clean: Tensor, noise: Tensor, levels: Levels) -> Tensor:
        """Return the mean (weighted) squared error of what the network returned."""
        ...


class Betas:
    """A diffusion in T timesteps, drawn uniformly (arXiv:2006.11239, algorithm 1).

    Attributes:
        gamma: of min-SNR weights; None is none.
    """

    def __init__(
        self, schedule: Schedule, device: torch.device, *, gamma: float | None = None
    ) -> None:
        self.T, self.gamma, self.device = schedule.T, gamma, device
        self.objective: Objective = OBJECTIVES[schedule.prediction]
        every = torch.arange(schedule.T, device=device)
        self.table = levels_of(schedule, every, torch.empty(0, device=device))

    def times(self, count: int, g: torch.Generator) -> Tensor:
        """Draw timesteps, int64 in [0, T)."""
        return torch.randint(self.T, (count,), generator=g, device=self.device)

    def levels(self, t: Tensor) -> Levels:
        """Return sqrt(abar_t) and sqrt(1 - abar_t)."""
        return self.table[0][t], self.table[1][t]

    def loss(self, predicted: Tensor, clean: Tensor, noise: Tensor, levels: Levels) -> Tensor:
        """Return the mean squared error, weighted where there is a gamma."""
        target = self.objective.target(clean, noise, levels)
        if self.gamma is None:
            return mse_loss(predicted, target)
        weights = snr_weights(self.objective, levels, gamma=self.gamma)
        return (weights * (predicted - target).square()).mean()


class StraightPath:
    """z_t = (1 - t) z_0 + t eps: t = 1 is noise, and the velocity eps - z_0 is learned.

    Attributes:
        normal: mean and deviation of the logit of t (arXiv:2403.03206, equation 19); None draws t
            uniformly.
        shift: s of t' = s t / (1 + (s - 1) t), which moves times that were drawn (equation 23).
    """

    def __init__(
        self, device: torch.device, *, normal: tuple[float, float] | None = None, shift: float = 1.0
    ) -> None:
        self.device, self.normal, self.shift = device, normal, shift
        self.objective: Objective = OBJECTIVES[FLOW]

    def times(self, count: int, g: torch.Generator) -> Tensor:
        """Draw times, float32 in [0, 1]."""
        if self.normal is None:
            t = torch.rand(count, generator=g, device=self.device)
        else:
            mean, deviation = self.normal
            drawn = torch.randn(count, generator=g, device=self.device)
            t = torch.sigmoid(mean + deviation * drawn)
        return t if self.shift == 1 else self.shift * t / (1 + (self.shift - 1) * t)

    def levels(self, t: Tensor) -> Levels:
        """Return 1 - t and t."""
        wide = t[:, None, None, None]
        return 1 - wide, wide

    def loss(self, predicted: Tensor, clean: Tensor, noise: Tensor, levels: Levels) -> Tensor:
        """Return the mean squared error of the velocity."""
        return mse_loss(predicted, self.objective.target(clean, noise, levels))


def forward_of(params: DenoiserParams, device: torch.device) -> Forward:
    """Return the forward process that a denoiser's params ask for."""
    schedule = schedule_of(params)
    if schedule is not None:
        return Betas(schedule, device, gamma=params.min_snr)
    normal = (params.logit_mean, params.logit_std) if params.times == "logit_normal" else None
    return StraightPath(device, normal=normal, shift=params.shift)
