"""Timestep rules, named apart: which of the T training steps a sampler visits."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from ldmbench.catalog.samplers import SAMPLERS
from ldmbench.errors import InputError
from ldmbench.registry import nearest

__all__ = [
    "SPACINGS",
    "Spacing",
    "check_inside",
    "check_repeats",
    "check_spacing",
    "check_steps",
    "compvis_grid",
    "is_uneven",
    "spaced_grid",
]

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


def is_uneven(sampler: str, rule: str | None, steps: int, *, T: int) -> bool:
    """Say whether timesteps do not all lie T // steps apart, as diffusers takes ddim's and pndm's.

    Under compvis and leading they do; so they do under trailing where steps divides T.
    """
    row = SAMPLERS.get(sampler)
    if row is None or not row.strided or rule not in ("linspace", "trailing"):
        return False
    return any(b - a != T // steps for a, b in pairwise(spaced_grid(rule, steps, T=T)))


def check_inside(visited: Iterable[float], steps: int, rule: str | None, *, T: int) -> None:
    """Refuse timesteps of which one is not among the T of training."""
    found = list(visited)
    first, last = max(found), min(found)
    if first > T - 1:
        raise InputError(
            f"{steps} steps under the rule '{rule}' start at timestep {int(first)}, "
            f"past T - 1 = {T - 1}; ask for fewer steps or another timestep rule"
        )
    if last < 0:
        raise InputError(
            f"{steps} steps under the rule '{rule}' end at timestep {int(last)}, before 0; "
            "ask for a few steps more or fewer or another timestep rule"
        )


def check_repeats(places: Iterable[float], steps: int, rule: str | None) -> None:
    """Refuse timesteps, or their noise levels, of which one comes twice for a multistep solver."""
    found = list(places)
    if len(set(found)) < len(found):
        raise InputError(
            f"{steps} steps under the rule '{rule}' come to one timestep twice, over which a "
            "multistep solver divides by zero; ask for fewer steps or another timestep rule"
        )


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
