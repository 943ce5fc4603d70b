"""Noise, one generator per sample, so that a sample depends on (seed, index) alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ldmbench.errors import InputError
from ldmbench.seeds import derive_seed

__all__ = ["initial_noise", "step_noise", "step_seeds"]


def initial_noise(indices: Sequence[int], *, seed: int, shape: Sequence[int]) -> torch.Tensor:
    """Draw the noise that samples start from.

    Args:
        indices: which samples of the run, B of them, in any order.
        seed: the sample seed of the cell; two seeds share nothing.
        shape: (C, h, w) of one sample.

    Returns:
        (B, C, h, w), float32, N(0, 1), on the CPU; row j depends on (seed, indices[j]) alone.
    """
    rows = [_draw(derive_seed("noise", seed, int(index)), shape) for index in indices]
    return torch.stack(rows) if rows else torch.empty((0, *shape))


def step_seeds(indices: Sequence[int], *, seed: int) -> list[int]:
    """Return one seed per sample for the noise that a stochastic sampler draws on its way."""
    return [derive_seed("step-noise", seed, int(index)) for index in indices]


def step_noise(seeds: Sequence[int], *, draws: int, shape: Sequence[int]) -> torch.Tensor:
    """Draw the noise of all steps at once, in the order in which a sampler uses it.

    Args:
        seeds: one per sample, as `step_seeds` gives them.
        draws: how many steps draw noise.
        shape: (C, h, w) of one sample.

    Returns:
        (draws, B, C, h, w), float32, N(0, 1); what `sample(..., seeds=seeds)` would have drawn.
    """
    generators = [generator_of(seed) for seed in seeds]
    return torch.stack([draw_step(generators, shape) for _ in range(draws)])


def generator_of(seed: int) -> torch.Generator:
    """Return a CPU generator with `seed` (0 <= seed < 2^63)."""
    if not 0 <= seed < 2**63:
        raise InputError(f"a sample seed must lie in [0, 2^63), found {seed}")
    return torch.Generator(device="cpu").manual_seed(seed)


def draw_step(generators: Sequence[torch.Generator], shape: Sequence[int]) -> torch.Tensor:
    """Draw one step's noise, (B, C, h, w) float32, one generator per sample."""
    return torch.stack([torch.randn(tuple(shape), generator=g) for g in generators])


def _draw(seed: int, shape: Sequence[int]) -> torch.Tensor:
    return torch.randn(tuple(shape), generator=generator_of(seed), dtype=torch.float32)
