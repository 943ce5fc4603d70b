"""Objectives: each recovers noise and clean latent from what training asks it for."""

import pytest
import torch

from ldmbench.models.precond import OBJECTIVES, levels_of
from ldmbench.sample import Schedule


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_perfect_network_gives_back_noise_and_clean_latent(name):
    g = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 4, 3, 2, 2, dtype=torch.float64, generator=g)
    levels = signal, spread = levels_of(Schedule(), torch.tensor([0, 300, 700, 999]), clean)
    assert torch.allclose(signal**2 + spread**2, torch.ones_like(signal))
    z, objective = signal * clean + spread * noise, OBJECTIVES[name]
    out = objective.target(clean, noise, levels)
    assert torch.allclose(objective.noise(out, z, levels), noise)
    assert torch.allclose(objective.clean(out, z, levels), clean)
