"""Solvers, through diffusers' schedulers: noise and a denoiser in, latents out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ldmbench.catalog.samplers import OF_BETAS, Sampler
from ldmbench.catalog.samplers import SAMPLERS as ROWS
from ldmbench.errors import InputError
from ldmbench.registry import pick, resolve
from ldmbench.sample.flow import Interval, is_inside
from ldmbench.sample.grids import (
    check_inside,
    check_repeats,
    check_spacing,
    check_steps,
    compvis_grid,
    is_uneven,
)
from ldmbench.sample.limits import check_fits
from ldmbench.sample.noise import step_draws
from ldmbench.sample.schedule import Schedule
from ldmbench.sample.steps import step_rule

__all__ = ["SAMPLERS", "Denoise", "evaluations", "sample", "timesteps_of"]

SAMPLERS = {name: ROWS[name] for name in OF_BETAS}
"""Those of diffusions in betas; `velocity` has those of flows."""
Denoise = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@torch.no_grad()
def sample(
    denoise: Denoise,
    noise: torch.Tensor,
    *,
    schedule: Schedule,
    steps: int,
    sampler: str = "ddim",
    eta: float = 0.0,
    timesteps: str | None = None,
    seeds: Sequence[int] | None = None,
    step_noise: torch.Tensor | None = None,
    prediction: str | None = None,
    interval: Interval | None = None,
    unguided: Denoise | None = None,
) -> torch.Tensor:
    """Turn noise into latents.

    Args:
        denoise: (z, t) -> prediction of z's shape, or with 2C channels when sigma is learned (only
            ddpm with a learned variance uses the second half). t is (B,) int64, float32 where
            euler or heun ask between two training timesteps.
        noise: (B, C, h, w), N(0, 1); scaled by the scheduler's initial sigma in here.
        schedule: the forward process and what `denoise` predicts.
        steps: how many are asked for; `timesteps_of` says which are taken.
        sampler: a row of `ldmbench list samplers`.
        eta: 0 is deterministic DDIM, 1 is its ancestral form (arXiv:2010.02502, eq. 16).
        timesteps: compvis, leading, trailing or linspace; None is the schedule's own rule.
        seeds: one per sample, for samplers that draw noise on their way.
        step_noise: (draws, B, C, h, w), in the order drawn, in place of seeds.
        prediction: overrides schedule.prediction.
        interval: lowest and highest timestep at which `denoise` is asked, both ends in
            (arXiv:2404.07724); None is all.
        unguided: what is asked at the others.

    Returns:
        Latents, (B, C, h, w), of the dtype and on the device of `noise`.

    Raises:
        InputError: unknown names, step counts that the rule cannot give, a stochastic sampler
            with neither seeds nor step_noise, eta with a sampler that has none.
    """
    _check_eta(sampler, eta)
    scheduler = _prepare(schedule, sampler, steps, timesteps, prediction=prediction)
    draws = _draws(scheduler, sampler, eta, noise, seeds=seeds, step_noise=step_noise)
    step = step_rule(sampler, schedule=schedule, eta=eta)
    z = noise * (0.0 if schedule.is_regression else float(scheduler.init_noise_sigma))
    _to_device(scheduler, sampler, noise.device)
    for t, time in zip(scheduler.timesteps, _times(scheduler.timesteps, noise.device)):
        ask = denoise if unguided is None or is_inside(float(t), interval) else unguided
        output = ask(scheduler.scale_model_input(z, t), time.expand(len(z)))
        _check_output(output, z)
        z = step(scheduler, output, t, z, draws).to(noise.dtype)
    return z


def evaluations(
    sampler: str,
    steps: int,
    *,
    schedule: Schedule,
    guidance: float = 1.0,
    timesteps: str | None = None,
    interval: Interval | None = None,
) -> int:
    """Return how many times a network is evaluated for one sample; a guided time counts twice."""
    visited = timesteps_of(sampler, steps, schedule=schedule, timesteps=timesteps)
    if guidance == 1.0:
        return len(visited)
    return sum(2 if is_inside(t, interval) else 1 for t in visited)


def timesteps_of(
    sampler: str, steps: int, *, schedule: Schedule, timesteps: str | None = None
) -> list[float]:
    """Return the timesteps at which the network is asked, in order, repeats included."""
    return [float(t) for t in _prepare(schedule, sampler, steps, timesteps).timesteps]


def _prepare(
    schedule: Schedule,
    sampler: str,
    steps: int,
    timesteps: str | None,
    *,
    prediction: str | None = None,
) -> Any:
    """Return a diffusers scheduler with its timesteps set."""
    row = pick(ROWS, sampler, "sampler")
    rule = timesteps or schedule.spacing
    if rule is not None:
        check_spacing(rule)
    check_steps(steps, T=schedule.T)
    # The scheduler's config: the schedule's, with spacing and prediction of this call.
    config = schedule.config()
    if rule is not None and rule != "compvis":
        config["timestep_spacing"] = rule
    if prediction is not None:
        config["prediction_type"] = prediction
    if row.runge_kutta and rule == "compvis":
        config["skip_prk_steps"] = True
    # Refuse what the sampler cannot do; then set the timesteps by the rule.
    check_fits(sampler, steps, schedule=schedule, rule=rule, prediction=prediction)
    scheduler = _construct(row.scheduler, config)
    if row.noise == "every step" and steps == schedule.T:  # the whole chain, whatever the rule
        scheduler.set_timesteps(timesteps=list(range(steps - 1, -1, -1)))
    elif rule == "compvis":
        _set_compvis(scheduler, row, steps, T=schedule.T)
    else:
        scheduler.set_timesteps(steps)
        if is_uneven(sampler, rule, steps, T=schedule.T):
            scheduler.thin()
    # Check the timesteps that the scheduler really has.
    check_inside(scheduler.timesteps.tolist(), steps, rule, T=schedule.T)
    if row.multistep:
        check_repeats(scheduler.sigmas[:-1].tolist(), steps, rule)
    return scheduler


def _construct(target: str, config: dict[str, Any]) -> Any:
    cls: Any = resolve(target)
    known = inspect.signature(cls.__init__).parameters
    fields = {key: value for key, value in config.items() if key in known}
    if fields.get("trained_betas") is not None:
        fields["trained_betas"] = list(fields["trained_betas"])
    try:
        return cls(**fields)
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"the source's scheduler cannot run as {cls.__name__}: {error}") from error


def _set_compvis(scheduler: Any, row: Sampler, steps: int, *, T: int) -> None:
    """Put the CompVis grid into a scheduler; each keeps its timesteps in its own way."""
    falling = compvis_grid(steps, T=T)[::-1]
    if row.strided:
        scheduler.set_timesteps(steps)  # both read the stride T // steps from this number
        if row.compvis == "timesteps":
            scheduler.timesteps = torch.tensor(falling)
        else:
            repeated = falling[:1] + falling[1:2] + falling[1:]
            scheduler.plms_timesteps = np.array(repeated)
            scheduler.timesteps = torch.tensor(repeated)
    elif row.compvis == "sigmas":
        scheduler.set_timesteps(len(falling))
        sigmas = (((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod) ** 0.5).numpy()
        scheduler.timesteps = torch.tensor(falling)
        scheduler.sigmas = torch.tensor([*sigmas[falling], 0.0], dtype=torch.float32)
    else:
        scheduler.set_timesteps(timesteps=falling)


def _times(timesteps: torch.Tensor, device: torch.device) -> list[torch.Tensor]:
    """Return the timesteps on the device, int64 where they are whole, else float32.

    They are copied before the first step: a copy within each would make a GPU wait for all before.
    """
    whole = (timesteps == timesteps.round()).tolist()
    integers = timesteps.to(device=device, dtype=torch.int64)
    if all(whole):
        return list(integers)
    between = timesteps.to(device=device, dtype=torch.float32)
    return [integers[i] if fits else between[i] for i, fits in enumerate(whole)]


def _to_device(scheduler: Any, sampler: str, device: torch.device) -> None:
    """Move what a scheduler would copy at every step; the others only read scalars."""
    if sampler == "unipc":
        scheduler.sigmas = scheduler.sigmas.to(device)


def _check_eta(sampler: str, eta: float) -> None:
    if not 0.0 <= eta <= 1.0:
        raise InputError(f"eta must lie in [0, 1], found {eta}")
    if eta and pick(ROWS, sampler, "sampler").noise != "eta":
        able = ", ".join(name for name, row in ROWS.items() if row.noise == "eta")
        raise InputError(f"eta is a field of {able} alone; leave it 0 with {sampler}")


def _check_output(output: torch.Tensor, z: torch.Tensor) -> None:
    allowed = (z.shape[1], 2 * z.shape[1])
    if output.shape[0] != z.shape[0] or output.shape[1] not in allowed:
        raise InputError(
            f"the denoiser returned {tuple(output.shape)} for latents {tuple(z.shape)}; "
            "it must return as many channels, or twice as many with learned sigma"
        )


def _draws(
    scheduler: Any,
    sampler: str,
    eta: float,
    noise: torch.Tensor,
    *,
    seeds: Sequence[int] | None,
    step_noise: torch.Tensor | None,
) -> Iterator[torch.Tensor]:
    """Return the noise of the stochastic steps, one (B, C, h, w) after the other."""
    # Most samplers draw nothing on the way.
    count = _draw_count(scheduler, sampler, eta)
    if count == 0:
        return iter(())
    # The original draws at t = 0 too and multiplies by zero: one draw a step is right as well.
    who = f"{sampler}{f' with eta {eta}' if eta else ''}"
    allowed = (count, len(scheduler.timesteps))
    return step_draws(noise, *allowed, seeds=seeds, step_noise=step_noise, who=who)


def _draw_count(scheduler: Any, sampler: str, eta: float) -> int:
    noise = ROWS[sampler].noise
    if noise == "every step":
        return int((scheduler.timesteps > 0).sum())
    return len(scheduler.timesteps) if noise == "eta" and eta > 0 else 0
