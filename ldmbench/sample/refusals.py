"""What a sampler cannot do, with a count of steps or with a model; told without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ldmbench.errors import InputError
from ldmbench.sample.grids import (
    MULTISTEP,
    check_inside,
    check_repeats,
    check_steps,
    is_uneven,
    spaced_grid,
)
from ldmbench.sample.schedule import Schedule

__all__ = ["check_fits", "misfit", "refusal"]

_RUNGE_KUTTA_STEPS = 4
_RESCALING = ("ddim", "ddpm", "dpm++", "euler", "unipc")
"""Whose schedulers know rescale_betas_zero_snr."""


def refusal(
    sampler: str, steps: int, *, schedule: Schedule, timesteps: str | None = None
) -> str | None:
    """Return why a sampler cannot take so many steps, or None if it can.

    It says what `timesteps_of` of a schedule with plain options would, and needs no torch.
    """
    rule = timesteps or schedule.spacing or "leading"
    offset = int(dict(schedule.options).get("steps_offset", 0))
    try:
        check_steps(steps, T=schedule.T)
        check_fits(sampler, steps, schedule=schedule, rule=rule)
        grid = _solver_grid(sampler, rule, steps, T=schedule.T, offset=offset)
        check_inside(grid, steps, rule, T=schedule.T)
        if sampler in MULTISTEP:
            check_repeats(grid, steps, rule)
    except InputError as error:
        return str(error)
    return None


def _solver_grid(sampler: str, rule: str, steps: int, *, T: int, offset: int) -> list[int]:
    """Return the ascending timesteps of a solver, where it has its own way to place them."""
    if sampler == "ddpm" and steps == T:
        return list(range(T))
    if sampler in MULTISTEP and rule == "leading":
        return [i * (T // (steps + 1)) + offset for i in range(1, steps + 1)]
    if sampler in MULTISTEP and rule == "linspace":
        return [int(t) for t in np.linspace(0, T - 1, steps + 1).round()][1:]
    return spaced_grid(rule, steps, T=T, offset=offset)


def misfit(
    sampler: str, steps: int, *, config: Mapping[str, Any], rule: str | None = None
) -> str | None:
    """Return why a sampler cannot run under a scheduler's config, or None if it can.

    Args:
        sampler: its name.
        steps: how many are asked for.
        config: fields of a diffusers scheduler config; betas are not looked at.
        rule: the timestep rule; None is the scheduler's own.
    """
    try:
        schedule = Schedule.from_config(config)
        check_fits(sampler, steps, schedule=schedule, rule=rule or schedule.spacing)
    except InputError as error:
        return str(error)
    return None


def check_fits(
    sampler: str,
    steps: int,
    *,
    schedule: Schedule,
    rule: str | None,
    prediction: str | None = None,
) -> None:
    """Refuse a sampler whose scheduler would run something else, draw noise, or fail.

    Args:
        sampler: its name.
        steps: how many are asked for, 1 to T.
        schedule: of the model.
        rule: the timestep rule; None is the sampler's own.
        prediction: overrides the schedule's.

    Raises:
        InputError: in one sentence that says what to ask for.
    """
    options = dict(schedule.options)
    if options.get("rescale_betas_zero_snr") and sampler not in _RESCALING:
        raise InputError(
            "the source's scheduler has rescale_betas_zero_snr, which "
            f"{sampler} would leave out and so run on other betas; "
            f"ask for one of {', '.join(_RESCALING)}"
        )
    if sampler == "dpm++":
        _check_deterministic(str(options.get("algorithm_type", "")))
    if sampler == "pndm":
        if (prediction or schedule.prediction) == "sample":
            raise InputError(
                "pndm takes a prediction of noise or v, and this model's is the clean latent "
                "(prediction_type: sample); ask for another sampler, such as ddim"
            )
        if rule != "compvis" and not options.get("skip_prk_steps"):
            _check_runge_kutta(steps, rule, T=schedule.T)


def _check_runge_kutta(steps: int, rule: str | None, *, T: int) -> None:
    if steps < _RUNGE_KUTTA_STEPS:
        raise InputError(
            f"pndm begins with Runge-Kutta steps over {_RUNGE_KUTTA_STEPS} timesteps unless its "
            f"scheduler has skip_prk_steps, found {steps}; "
            f"ask for {_RUNGE_KUTTA_STEPS} steps or more, or for another sampler"
        )
    if is_uneven("pndm", rule, steps, T=T):
        raise InputError(
            "pndm begins with Runge-Kutta steps over timesteps T // steps apart unless its "
            f"scheduler has skip_prk_steps, and the rule '{rule}' lays {steps} of {T} otherwise; "
            "ask for timesteps leading, or for another sampler"
        )


def _check_deterministic(algorithm: str) -> None:
    """Refuse a scheduler that would draw noise from the global generator."""
    if algorithm.startswith("sde"):
        raise InputError(
            f"the source's scheduler has algorithm_type {algorithm}, which draws noise at its "
            "steps, and dpm++ draws none; ask for another sampler, such as ddpm, or write "
            f"{algorithm.removeprefix('sde-')} into its scheduler_config.json"
        )
