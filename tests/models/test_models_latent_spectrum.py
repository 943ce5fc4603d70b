"""Spectra of latents, against SciPy's transform."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from ldmbench.models.latent_spectrum import band_powers, has_spectrum


@pytest.mark.golden
@pytest.mark.parametrize("shape", [(3, 4, 8, 8), (2, 16, 5, 7), (2, 1, 1, 6)])
def test_powers_are_those_of_scipy(shape):
    z = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    power = np.square(dctn(z.astype(np.float64), axes=(2, 3), norm="ortho")).mean(axis=1)
    band = np.add.outer(np.arange(shape[2]), np.arange(shape[3]))
    expected = [power[:, band == d].mean(axis=1) for d in range(band.max() + 1)]
    found = band_powers(torch.from_numpy(z)).numpy()
    assert found == pytest.approx(np.stack(expected, axis=1), rel=1e-10)


def test_noise_is_level_and_a_constant_has_its_mean_alone():
    noise = band_powers(torch.randn(200, 4, 8, 8, generator=torch.manual_seed(0)))
    assert noise.mean(0).numpy() == pytest.approx(np.ones(15), abs=0.15)
    flat = band_powers(torch.full((1, 2, 4, 4), 3.0))[0].numpy()
    assert flat == pytest.approx([9 * 16, 0, 0, 0, 0, 0, 0], abs=1e-20)


def test_vectors_and_single_positions_have_none():
    assert not has_spectrum(torch.zeros(2, 16))
    assert not has_spectrum(torch.zeros(2, 16, 1, 1))
    assert has_spectrum(torch.zeros(2, 16, 1, 2))
