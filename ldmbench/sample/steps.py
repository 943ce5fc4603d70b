"""One step of a solver, by the scheduler, with noise that we drew ourselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from ldmbench.catalog.samplers import SAMPLERS
from ldmbench.sample.schedule import Schedule

__all__ = ["posterior_mean", "step_rule"]

Step = Callable[
    [Any, torch.Tensor, torch.Tensor, torch.Tensor, Iterator[torch.Tensor]], torch.Tensor
]


def step_rule(sampler: str, *, schedule: Schedule, eta: float) -> Step:
    """Return (scheduler, output, t, z, draws) -> z at the next timestep, for one sampler."""
    noise = SAMPLERS[sampler].noise
    if noise == "eta":
        clipped = bool(dict(schedule.options).get("use_clipped_model_output"))
        return partial(_ddim, eta=eta, clipped=clipped)
    if noise == "every step":
        return partial(_ddpm, kind=dict(schedule.options).get("variance_type") or "fixed_small")
    return _plain


def _plain(
    scheduler: Any,
    output: torch.Tensor,
    t: torch.Tensor,
    z: torch.Tensor,
    draws: Iterator[torch.Tensor],
) -> torch.Tensor:
    previous: torch.Tensor = scheduler.step(output[:, : z.shape[1]], t, z, return_dict=False)[0]
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
    extra: dict[str, Any] = {"use_clipped_model_output": clipped, "return_dict": False}
    if eta > 0:
        extra |= {"eta": eta, "variance_noise": next(draws).to(z)}
    # A number, as places in tables are found by numbers faster than by tensors.
    previous: torch.Tensor = scheduler.step(output[:, : z.shape[1]], int(t), z, **extra)[0]
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
    """Add our noise to the posterior's mean (arXiv:2006.11239, eq. 7)."""
    channels = z.shape[1]
    learned = kind.startswith("learned") and output.shape[1] == 2 * channels
    if kind.startswith("learned") and not learned:
        kind = "fixed_small"
    mean = posterior_mean(scheduler, output[:, :channels], t, z)
    if int(t) == 0:
        return mean
    predicted = output[:, channels:] if learned else None
    variance = scheduler._get_variance(int(t), predicted_variance=predicted, variance_type=kind)
    return mean + _deviation(variance, kind) * next(draws).to(z)


def posterior_mean(
    scheduler: Any, output: torch.Tensor, t: torch.Tensor, z: torch.Tensor
) -> torch.Tensor:
    """Return mu of arXiv:2006.11239, eq. 7, to the bit as diffusers' DDPMScheduler computes it.

    Its `step` would draw noise that nobody uses.
    """
    previous = scheduler.previous_timestep(t)
    abar = scheduler.alphas_cumprod[t]
    abar_previous = scheduler.alphas_cumprod[previous] if previous >= 0 else scheduler.one
    alpha = abar / abar_previous
    clean = _clean(scheduler, output, abar, z)
    clean_share = (abar_previous**0.5 * (1 - alpha)) / (1 - abar)
    noisy_share = alpha**0.5 * (1 - abar_previous) / (1 - abar)
    mean: torch.Tensor = clean_share * clean + noisy_share * z
    return mean


def _clean(
    scheduler: Any, output: torch.Tensor, abar: torch.Tensor, z: torch.Tensor
) -> torch.Tensor:
    """Return the predicted z_0 (eq. 15), clipped or thresholded as the scheduler's config says."""
    config = scheduler.config
    if config.prediction_type == "epsilon":
        clean = (z - (1 - abar) ** 0.5 * output) / abar**0.5
    elif config.prediction_type == "v_prediction":
        clean = (abar**0.5) * z - ((1 - abar) ** 0.5) * output
    else:
        clean = output
    if config.thresholding:
        thresholded: torch.Tensor = scheduler._threshold_sample(clean)
        return thresholded
    if config.clip_sample:
        return clean.clamp(-config.clip_sample_range, config.clip_sample_range)
    return clean


def _deviation(variance: torch.Tensor, kind: str) -> torch.Tensor:
    """Return sigma_t from what the scheduler calls variance, which differs from kind to kind."""
    if kind == "fixed_small_log":
        return variance
    if kind in ("learned_range", "fixed_large_log"):
        return torch.exp(0.5 * variance)
    return torch.sqrt(variance)
