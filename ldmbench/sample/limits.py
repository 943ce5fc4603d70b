"""What a sampler cannot do, with a count of steps or with a model; no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ldmbench.catalog.samplers import OF_BETAS, SAMPLERS, Sampler
from ldmbench.errors import InputError
from ldmbench.registry import pick
from ldmbench.sample.flow import Interval
from ldmbench.sample.grids import (
    check_inside,
    check_repeats,
    check_steps,
    is_uneven,
    spaced_grid,
)
from ldmbench.sample.schedule import Schedule

__all__ = ["check_fits", "solver_grid", "why_not_interval", "why_not_sampler", "why_not_steps"]


def why_not_steps(
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
        grid = solver_grid(sampler, rule, steps, T=schedule.T, offset=offset)
        check_inside(grid, steps, rule, T=schedule.T)
        if SAMPLERS[sampler].multistep:
            check_repeats(grid, steps, rule)
    except InputError as error:
        return str(error)
    return None


def solver_grid(sampler: str, rule: str, steps: int, *, T: int, offset: int) -> list[int]:
    """Return the ascending timesteps of a solver, where it has its own way to place them."""
    row = SAMPLERS[sampler]
    if row.noise == "every step" and steps == T:
        return list(range(T))
    if row.multistep and rule == "leading":
        return [i * (T // (steps + 1)) + offset for i in range(1, steps + 1)]
    if row.multistep and rule == "linspace":
        return [int(t) for t in np.linspace(0, T - 1, steps + 1).round()][1:]
    return spaced_grid(rule, steps, T=T, offset=offset)


def why_not_sampler(
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
    row, options = pick(SAMPLERS, sampler, "sampler"), dict(schedule.options)
    if not row.betas:
        raise InputError(
            f"{sampler} samples flows, and this model is a diffusion in betas; ask for one of:"
            f" {', '.join(OF_BETAS)}"
        )
    if options.get("rescale_betas_zero_snr") and not row.rescales:
        able = ", ".join(name for name in OF_BETAS if SAMPLERS[name].rescales)
        raise InputError(
            "the source's scheduler has rescale_betas_zero_snr, which "
            f"{sampler} would leave out and so run on other betas; "
            f"ask for one of {able}"
        )
    if row.algorithms:
        _check_deterministic(row, str(options.get("algorithm_type", "")))
    if not row.clean and (prediction or schedule.prediction) == "sample":
        other = next(name for name in OF_BETAS if SAMPLERS[name].clean)
        raise InputError(
            f"{sampler} takes a prediction of noise or v, and this model's is the clean latent "
            f"(prediction_type: sample); ask for another sampler, such as {other}"
        )
    if row.runge_kutta and rule != "compvis" and not options.get("skip_prk_steps"):
        _check_runge_kutta(row, steps, rule, T=schedule.T)


def _check_runge_kutta(row: Sampler, steps: int, rule: str | None, *, T: int) -> None:
    if steps < row.runge_kutta:
        raise InputError(
            f"{row.name} begins with Runge-Kutta steps over {row.runge_kutta} timesteps unless its "
            f"scheduler has skip_prk_steps, found {steps}; "
            f"ask for {row.runge_kutta} steps or more, or for another sampler"
        )
    if is_uneven(row.name, rule, steps, T=T):
        raise InputError(
            f"{row.name} begins with Runge-Kutta steps over timesteps T // steps apart unless its "
            f"scheduler has skip_prk_steps, and the rule '{rule}' lays {steps} of {T} otherwise; "
            "ask for timesteps leading, or for another sampler"
        )


def _check_deterministic(row: Sampler, algorithm: str) -> None:
    """Refuse a scheduler that would draw noise from the global generator."""
    if algorithm.startswith("sde"):
        other = next(name for name in OF_BETAS if SAMPLERS[name].noise == "every step")
        raise InputError(
            f"the source's scheduler has algorithm_type {algorithm}, which draws noise at its "
            f"steps, and {row.name} draws none; ask for another sampler, such as {other}, or write "
            f"{algorithm.removeprefix('sde-')} into its scheduler_config.json"
        )


def why_not_interval(interval: Interval, times: Iterable[float], *, last: float) -> str | None:
    """Return why guidance cannot be on in an interval of times, or None if it can.

    Args:
        interval: lowest and highest time with guidance, in the model's own time.
        times: at which the network is asked.
        last: largest time of the model: 1 of a flow, T - 1 of a diffusion in betas.
    """
    low, high = interval
    if not 0 <= low <= high <= last:
        return (
            f"the model's times lie in [0, {last:g}]; write two of them, the lower first, such as"
            f" [0, {round(0.7 * last, 1):g}]"
        )
    asked = list(times)
    if asked and not any(low <= t <= high for t in asked):
        return (
            f"guidance would never be on: none of the {len(asked)} times at which the network is"
            f" asked, {min(asked):g} to {max(asked):g}, lies in it"
        )
    return None
