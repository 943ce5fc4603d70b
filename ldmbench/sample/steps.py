"""One step of a solver, by the scheduler, with noise that we drew ourselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from ldmbench.sample.schedule import Schedule

__all__ = ["step_rule"]

Step = Callable[
    [Any, torch.Tensor, torch.Tensor, torch.Tensor, Iterator[torch.Tensor]], torch.Tensor
]


def step_rule(sampler: str, *, schedule: Schedule, eta: float) -> Step:
    """Return (scheduler, output, t, z, draws) -> z at the next timestep, for one sampler."""
    if sampler == "ddim":
        clipped = bool(dict(schedule.options).get("use_clipped_model_output"))
        return partial(_ddim, eta=eta, clipped=clipped)
    if sampler == "ddpm":
        return partial(_ddpm, kind=dict(schedule.options).get("variance_type") or "fixed_small")
    return _plain


def _plain(
    scheduler: Any,
    output: torch.Tensor,
    t: torch.Tensor,
    z: torch.Tensor,
    draws: Iterator[torch.Tensor],
) -> torch.Tensor:
    previous: torch.Tensor = scheduler.step(output[:, : z.shape[1]], t, z).prev_sample
    return previous


def _ddim(
    scheduler: Any,
    output: torch.Tensor,
    t: torch.Tensor,
    z: torch.Tensor,
    draws: Iterator[torch.Tensor],
    *,
    eta: float,
    clipped: bool,
) -> torch.Tensor:
    """Step by arXiv:2010.02502, eq. 12; `clipped` takes the noise from the clipped clean image."""
    extra: dict[str, Any] = {"use_clipped_model_output": clipped}
    if eta > 0:
        extra |= {"eta": eta, "variance_noise": next(draws).to(z)}
    previous: torch.Tensor = scheduler.step(output[:, : z.shape[1]], t, z, **extra).prev_sample
    return previous


def _ddpm(
    scheduler: Any,
    output: torch.Tensor,
    t: torch.Tensor,
    z: torch.Tensor,
    draws: Iterator[torch.Tensor],
    *,
    kind: str,
) -> torch.Tensor:
    """Take the posterior's mean from the scheduler and add our noise (arXiv:2006.11239, eq. 7).

    The scheduler would draw noise of its own; a predicted variance of zero leaves the mean.
    """
    channels = z.shape[1]
    learned = kind.startswith("learned") and output.shape[1] == 2 * channels
    if kind.startswith("learned") and not learned:
        kind = "fixed_small"
    still = torch.cat([output[:, :channels], torch.zeros_like(z)], dim=1)
    unused = torch.Generator(device=z.device).manual_seed(0)
    mean: torch.Tensor = scheduler.step(still, t, z, generator=unused).prev_sample
    if int(t) == 0:
        return mean
    predicted = output[:, channels:] if learned else None
    variance = scheduler._get_variance(int(t), predicted_variance=predicted, variance_type=kind)
    return mean + _deviation(variance, kind) * next(draws).to(z)


def _deviation(variance: torch.Tensor, kind: str) -> torch.Tensor:
    """Return sigma_t from what the scheduler calls variance, which differs from kind to kind."""
    if kind == "fixed_small_log":
        return variance
    if kind in ("learned_range", "fixed_large_log"):
        return torch.exp(0.5 * variance)
    return torch.sqrt(variance)
