"""diffusers' schedulers that step by T // n, made to step to the next of their own timesteps."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDIMScheduler, PNDMScheduler

__all__ = ["NextTimestepDDIMScheduler", "NextTimestepPNDMScheduler"]


class _NextTimestep:
    """A scheduler whose table of abar can be thinned to the timesteps that it visits."""

    alphas_cumprod: torch.Tensor
    timesteps: torch.Tensor
    config: Any
    _places: dict[int, int] | None = None

    def thin(self) -> None:
        """Keep the abar of the timesteps alone, so that a stride of one leads to the next.

        It is what arXiv:2102.09672, section 4, does to sample with fewer steps.
        """
        grid = torch.unique(self.timesteps)
        self._places = {int(t): place for place, t in enumerate(grid)}
        self.alphas_cumprod = self.alphas_cumprod[grid]
        self.num_inference_steps = self.config.num_train_timesteps

    def step(
        self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, **extra: Any
    ) -> Any:
        """Step as the scheduler does, from a timestep's place in the thinned table."""
        at = timestep if self._places is None else self._places[int(timestep)]
        scheduler: Any = super()
        return scheduler.step(model_output, at, sample, **extra)


class NextTimestepDDIMScheduler(_NextTimestep, DDIMScheduler):  # type: ignore[misc]
    """DDIM to the next timestep, tau_{i-1} of arXiv:2010.02502, section 4.2."""


class NextTimestepPNDMScheduler(_NextTimestep, PNDMScheduler):  # type: ignore[misc]
    """Linear multistep to the next timestep; its Runge-Kutta start needs an even stride."""
