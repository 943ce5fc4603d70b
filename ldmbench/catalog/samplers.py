"""Samplers: what they sample and how, what noise their steps draw, what they cannot do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Noise = Literal["none", "eta", "every step"]
Placed = Literal["timesteps", "plms", "sigmas", "argument"]


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """One way from noise to latents: of diffusions in betas through a scheduler, or of flows.

    Attributes:
        name: in suites and signatures.
        about: what it is.
        source: the paper.
        scheduler: "module:class", for diffusions in betas.
        betas: it samples diffusions in betas.
        flow: it samples flows, by `ldmbench.sample.velocity`.
        noise: when a step draws noise: never, where eta > 0 (the field is its own), at each.
        evaluations: of the network for a step, about; guidance doubles them.
        adaptive: it chooses its steps, and asks about so many times whatever their number; 0: not.
        strided: a step of diffusers goes from t to t - T // steps, so other grids are thinned.
        multistep: divides by the distance between timesteps, so that none may come twice.
        rescales: its scheduler knows rescale_betas_zero_snr.
        runge_kutta: timesteps that it begins with, unless the scheduler has skip_prk_steps.
        clean: takes a network that predicts the clean latent.
        algorithms: its scheduler has an algorithm_type, of which those that draw noise are refused.
        compvis: how the CompVis grid is put into its scheduler.
    """

    name: str
    about: str
    source: str
    scheduler: str
    betas: bool = True
    flow: bool = False
    noise: Noise = "none"
    evaluations: float = 1.0
    adaptive: int = 0
    strided: bool = False
    multistep: bool = False
    rescales: bool = True
    runge_kutta: int = 0
    clean: bool = True
    algorithms: bool = False
    compvis: Placed = "argument"

    @property
    def summary(self) -> str:
        """What it is and where it was defined, for lists."""
        return f"{self.about} ({self.source})"


_ROWS = (
    Sampler(
        name="ddim",
        about="DDIM, eta from 0 (deterministic) to 1",
        source="arXiv:2010.02502",
        scheduler="ldmbench.sample.next_timestep:NextTimestepDDIMScheduler",
        noise="eta",
        strided=True,
        compvis="timesteps",
    ),
    Sampler(
        name="ddpm",
        about="ancestral sampling",
        source="arXiv:2006.11239",
        scheduler="diffusers:DDPMScheduler",
        noise="every step",
    ),
    Sampler(
        name="dpm++",
        about="DPM-Solver++ 2M",
        source="arXiv:2211.01095",
        scheduler="diffusers:DPMSolverMultistepScheduler",
        multistep=True,
        algorithms=True,
    ),
    Sampler(
        name="unipc",
        about="UniPC",
        source="arXiv:2302.04867",
        scheduler="diffusers:UniPCMultistepScheduler",
        multistep=True,
        compvis="sigmas",
    ),
    Sampler(
        name="pndm",
        about="PNDM / PLMS",
        source="arXiv:2202.09778",
        scheduler="ldmbench.sample.next_timestep:NextTimestepPNDMScheduler",
        strided=True,
        rescales=False,
        runge_kutta=4,
        clean=False,
        compvis="plms",
    ),
    Sampler(
        name="euler",
        about="Euler steps of the probability-flow ODE, or of a flow",
        source="arXiv:2206.00364, algorithm 2 without churn; flows: arXiv:2209.03003",
        scheduler="diffusers:EulerDiscreteScheduler",
        flow=True,
    ),
    Sampler(
        name="heun",
        about="Heun's second-order steps, of a flow too",
        source="arXiv:2206.00364, algorithm 1",
        scheduler="diffusers:HeunDiscreteScheduler",
        flow=True,
        evaluations=2.0,
        rescales=False,
    ),
    Sampler(
        name="dopri5",
        about="Dormand-Prince 5(4) of a flow, which chooses its own steps",
        source="doi:10.1016/0771-050X(80)90013-3",
        scheduler="ldmbench.sample.velocity:integrate",
        betas=False,
        flow=True,
        adaptive=40,
    ),
    Sampler(
        name="sde",
        about="Euler-Maruyama steps of a flow's reverse SDE",
        source="arXiv:2401.08740, section 2.4",
        scheduler="ldmbench.sample.velocity:integrate",
        betas=False,
        flow=True,
        noise="every step",
    ),
)

SAMPLERS: dict[str, Sampler] = {row.name: row for row in _ROWS}
"""Every sampler by name; a suite's own models sample by themselves and have none."""

OF_BETAS: tuple[str, ...] = tuple(name for name, row in SAMPLERS.items() if row.betas)
OF_FLOWS: tuple[str, ...] = tuple(name for name, row in SAMPLERS.items() if row.flow)
"""Names of the samplers of diffusions in betas, and of those of flows."""
