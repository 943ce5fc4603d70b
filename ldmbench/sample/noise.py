"""Noise, one generator per sample, so that a sample depends on (seed, index) alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from ldmbench.ahead import ahead
from ldmbench.errors import InputError
from ldmbench.seeds import derive_seed

__all__ = ["initial_noise", "step_draws", "step_noise", "step_seeds"]

AHEAD_BYTES = 1 << 25
"""Of noise that is drawn, and copied to a GPU, at a time."""


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


def step_draws(
    noise: torch.Tensor,
    count: int,
    *others: int,
    seeds: Sequence[int] | None,
    step_noise: torch.Tensor | None,
    who: str,
) -> Iterator[torch.Tensor]:
    """Return the noise of stochastic steps, one (B, C, h, w) after the other.

    Args:
        noise: what sampling starts from, (B, C, h, w).
        count: how many draws the steps use.
        others: numbers of draws that step_noise may hold as well.
        seeds: one per sample.
        step_noise: (draws, B, C, h, w), in place of seeds.
        who: the sampler, for messages.

    Raises:
        InputError: there are neither seeds nor step_noise, or not as many as there must be.
    """
    if step_noise is not None:
        fits = step_noise.shape[0] in {count, *others} and step_noise.shape[1:] == noise.shape
        if not fits:
            raise InputError(
                f"step_noise must be (draws, B, C, h, w) = {(count, *noise.shape)}, "
                f"found {tuple(step_noise.shape)}"
            )
        return iter(step_noise.to(noise.device))
    if seeds is None:
        raise InputError(
            f"{who} draws noise at its steps: give seeds (one per sample) or step_noise"
        )
    if len(seeds) != noise.shape[0]:
        raise InputError(f"{noise.shape[0]} samples need as many seeds, found {len(seeds)}")
    generators = [generator_of(int(seed)) for seed in seeds]
    return noise_of_steps(generators, noise.shape[1:], draws=count, device=noise.device)


def noise_of_steps(
    generators: Sequence[torch.Generator],
    shape: Sequence[int],
    *,
    draws: int,
    device: torch.device,
) -> Iterator[torch.Tensor]:
    """Yield the noise of each step, (B, C, h, w) float32, from generators of the CPU.

    For a GPU it is drawn ahead, by a thread, and copied from pinned memory: no step waits. On a CPU
    it is drawn where it is used; a thread would take cores from the network.
    """
    if device.type != "cuda":
        return (draw_step(generators, shape) for _ in range(draws))
    most = max(1, AHEAD_BYTES // (4 * len(generators) * math.prod(shape)))
    counts = [min(most, draws - done) for done in range(0, draws, most)]
    chunks = ahead(
        torch.stack([draw_step(generators, shape) for _ in range(count)]).pin_memory()
        for count in counts
    )
    return (noise for chunk in chunks for noise in chunk.to(device, non_blocking=True))


def _draw(seed: int, shape: Sequence[int]) -> torch.Tensor:
    return torch.randn(tuple(shape), generator=generator_of(seed), dtype=torch.float32)
