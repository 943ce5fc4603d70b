"""The forward process of a denoiser that is trained here, of what its suite says; no torch."""

from __future__ import annotations

from dataclasses import replace

from ldmbench.sample.flow import Flow
from ldmbench.sample.schedule import REGRESSION, Prediction, Schedule
from ldmbench.schema.models import DenoiserParams

__all__ = ["flow_of", "schedule_of"]

_PREDICTIONS: dict[str, Prediction] = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}


def schedule_of(params: DenoiserParams) -> Schedule | None:
    """Return the diffusion in betas that a denoiser is trained under; None of a flow.

    A regression has one timestep, without signal. A diffusion that leaves no signal at its last
    timestep visits it by default: its rule is trailing.
    """
    if params.objective == "flow":
        return None
    if params.objective == "regression":
        return REGRESSION
    schedule = Schedule(
        kind=params.beta_schedule,
        start=params.beta_start,
        end=params.beta_end,
        T=params.timesteps,
        prediction=_PREDICTIONS[params.objective],
    )
    if not params.rescale_betas_zero_snr:
        return schedule
    options = {**dict(schedule.options), "rescale_betas_zero_snr": True}
    return replace(schedule, spacing="trailing", options=tuple(sorted(options.items())))


def flow_of(params: DenoiserParams) -> Flow | None:
    """Return the flow that a denoiser is trained under; None of a diffusion in betas."""
    return Flow(shift=params.shift) if params.objective == "flow" else None
