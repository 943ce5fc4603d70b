"""Timestep rules, named apart: which of the T training steps a sampler visits."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from ldmbench.errors import InputError
from ldmbench.registry import nearest

__all__ = ["SPACINGS", "Spacing", "check_spacing", "compvis_grid", "spaced_grid"]

Spacing = Literal["compvis", "leading", "linspace", "trailing"]
SPACINGS: tuple[str, ...] = get_args(Spacing)


def compvis_grid(steps: int, *, T: int = 1000) -> list[int]:
    """Return the DDIM timesteps of CompVis/latent-diffusion, ascending.

    They are 1, 1 + c, 1 + 2c, ... with c = T // steps. The stride is rounded down, so more steps
    than asked may come: 7 of 1000 gives 8.

    Raises:
        InputError: if a timestep lies past T - 1 (3, 300, 999, 1000 at T = 1000), where the
            original reads beyond its table.
    """
    check_steps(steps, T=T)
    grid = [1 + t for t in range(0, T, T // steps)]
    if grid[-1] >= T:
        raise InputError(
            f"{steps} steps under the compvis rule end at timestep {grid[-1]}, "
            f"past T - 1 = {T - 1}; "
            f"ask for {_allowed(steps, T)} steps, or for timesteps leading, trailing or linspace"
        )
    return grid


def spaced_grid(rule: str, steps: int, *, T: int = 1000, offset: int = 0) -> list[int]:
    """Return the ascending DDIM timesteps of a rule (arXiv:2305.08891, Table 2, and compvis).

    Args:
        rule: compvis, leading, trailing or linspace.
        steps: how many were asked for.
        T: number of training timesteps.
        offset: added by "leading" (a scheduler's steps_offset).
    """
    check_spacing(rule)
    check_steps(steps, T=T)
    if rule == "compvis":
        return compvis_grid(steps, T=T)
    if rule == "leading":
        return [i * (T // steps) + offset for i in range(steps)]
    if rule == "linspace":
        return [int(t) for t in np.linspace(0, T - 1, steps).round()]
    return [int(t) - 1 for t in np.round(np.arange(T, 0, -T / steps))][::-1]


def check_spacing(rule: str) -> None:
    """Refuse an unknown timestep rule, naming the nearest."""
    if rule not in SPACINGS:
        raise InputError(
            f"unknown timestep rule '{rule}'{nearest(rule, SPACINGS)}; "
            f"there are: {', '.join(SPACINGS)}"
        )


def check_steps(steps: int, *, T: int) -> None:
    """Refuse a step count outside 1..T."""
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= T:
        raise InputError(f"steps must be a whole number from 1 to T = {T}, found {steps!r}")


def _allowed(steps: int, T: int) -> str:
    def fits(n: int) -> bool:
        return 1 + range(0, T, T // n)[-1] < T

    below = next((n for n in range(steps - 1, 0, -1) if fits(n)), None)
    above = next((n for n in range(steps + 1, T + 1) if fits(n)), None)
    return " or ".join(str(n) for n in (below, above) if n is not None)
