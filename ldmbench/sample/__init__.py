"""From noise to latents: schedules, timestep grids, solvers, guidance and per-sample noise."""

from ldmbench.sample.grids import SPACINGS, compvis_grid, spaced_grid
from ldmbench.sample.guidance import guided, mix
from ldmbench.sample.noise import initial_noise, step_noise, step_seeds
from ldmbench.sample.schedule import Schedule, cosine_betas
from ldmbench.sample.solvers import SAMPLERS, Denoise, evaluations, sample, timesteps_of

__all__ = [
    "SAMPLERS",
    "SPACINGS",
    "Denoise",
    "Schedule",
    "compvis_grid",
    "cosine_betas",
    "evaluations",
    "guided",
    "initial_noise",
    "mix",
    "sample",
    "spaced_grid",
    "step_noise",
    "step_seeds",
    "timesteps_of",
]
