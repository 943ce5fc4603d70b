"""Share of high frequencies and slope of spectra whose answer is known, and their intervals."""

import numpy as np
import pytest

from ldmbench.records.latent_spectrum import spectrum_measures, spectrum_points

SIDE = 8
COEFFICIENTS = np.bincount(np.add.outer(range(SIDE), range(SIDE)).ravel())
FREQUENCY = np.arange(2 * SIDE - 1) / (2 * SIDE - 2)


def measured(powers):
    return {m.name: m for m in spectrum_measures(powers, SIDE, SIDE)}


def noise(rng, count):
    """Return powers of white noise: means of as many squares as a diagonal has coefficients."""
    return rng.chisquare(COEFFICIENTS, (count, 2 * SIDE - 1)) / COEFFICIENTS


def test_a_power_law_has_its_exponent():
    powers = np.array([1.0, *FREQUENCY[1:] ** -2.5]) * np.array([[1.0], [3.0]])
    found = measured(powers)
    assert found["latent_slope"].value == pytest.approx(-2.5, abs=1e-12)
    law = COEFFICIENTS[1:] * powers[0, 1:]
    expected = law[FREQUENCY[1:] >= 0.5].sum() / law.sum()
    assert found["latent_high_frequency"].value == pytest.approx(expected, rel=1e-12)
    assert found["latent_high_frequency"].low == pytest.approx(expected)


def test_white_noise_has_about_a_half_and_no_slope():
    found = measured(noise(np.random.default_rng(1), 4000))
    expected = COEFFICIENTS[7:].sum() / COEFFICIENTS[1:].sum()
    assert found["latent_high_frequency"].value == pytest.approx(expected, abs=0.005)
    assert found["latent_slope"].value == pytest.approx(0, abs=0.02)


def test_the_mean_of_a_map_counts_for_nothing():
    powers = noise(np.random.default_rng(2), 50)
    moved = powers * np.array([100.0, *np.ones(2 * SIDE - 2)])
    assert measured(moved) == measured(powers)


@pytest.mark.parametrize("name", ["latent_high_frequency", "latent_slope"])
def test_intervals_are_as_wide_as_the_spread_over_sets_of_images(name):
    rng = np.random.default_rng(3)
    found = [measured(noise(rng, 100))[name] for _ in range(300)]
    spread = np.std([m.value for m in found])
    half = np.mean([(m.high - m.low) / 2 for m in found])
    assert half / 1.96 == pytest.approx(spread, rel=0.12)


def test_flat_latents_have_no_value_and_a_reason():
    found = measured(np.eye(1, 2 * SIDE - 1).repeat(3, axis=0))
    assert found["latent_slope"].value is None
    assert "no power" in found["latent_high_frequency"].reason


def test_the_curve_is_over_the_power_of_the_mean():
    powers = np.array([[10.0, *np.full(2 * SIDE - 2, 0.1)]])
    points = spectrum_points(powers, SIDE, SIDE)
    assert [p.frequency for p in points] == pytest.approx(FREQUENCY[1:])
    assert {round(p.log_power, 9) for p in points} == {-2.0}
