"""From noise to latents: schedules, timestep grids, solvers, guidance and per-sample noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldmbench.registry import lazily

if TYPE_CHECKING:
    from ldmbench.sample.flow import Flow, Sde
    from ldmbench.sample.grids import SPACINGS, compvis_grid, spaced_grid
    from ldmbench.sample.guidance import mix
    from ldmbench.sample.noise import initial_noise, step_noise, step_seeds
    from ldmbench.sample.schedule import Schedule, cosine_betas
    from ldmbench.sample.solvers import SAMPLERS, Denoise, evaluations, sample, timesteps_of
    from ldmbench.sample.velocity import integrate

__all__ = [
    "SAMPLERS",
    "SPACINGS",
    "Denoise",
    "Flow",
    "Schedule",
    "Sde",
    "compvis_grid",
    "cosine_betas",
    "evaluations",
    "initial_noise",
    "integrate",
    "mix",
    "sample",
    "spaced_grid",
    "step_noise",
    "step_seeds",
    "timesteps_of",
]

_MODULES = {
    "flow": ("Flow", "Sde"),
    "grids": ("SPACINGS", "compvis_grid", "spaced_grid"),
    "guidance": ("mix",),
    "noise": ("initial_noise", "step_noise", "step_seeds"),
    "schedule": ("Schedule", "cosine_betas"),
    "solvers": ("SAMPLERS", "Denoise", "evaluations", "sample", "timesteps_of"),
    "velocity": ("integrate",),
}
__getattr__ = lazily(__name__, {name: m for m, names in _MODULES.items() for name in names})
"""A plan asks for grids without torch."""


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
