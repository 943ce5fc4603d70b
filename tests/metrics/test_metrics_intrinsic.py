"""Intrinsic dimension and its scale: known dimensions, a plain computation, and the interval."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from ldmbench.errors import InputError
from ldmbench.metrics.intrinsic import intrinsic_family
from ldmbench.models.latent_neighbours import nearest_distances, spread


def patch(rng, count, dimension, width=16):
    """Return points of a flat patch of a dimension, turned in a wider space."""
    turn = np.linalg.qr(np.random.default_rng(9).normal(size=(width, width)))[0]
    flat = np.zeros((count, width))
    flat[:, :dimension] = rng.normal(size=(count, dimension))
    return flat @ turn


def distances(z, train, k):
    return np.sort(cdist(z, train), axis=1)[:, :k]


@pytest.mark.golden
def test_the_estimate_is_that_of_plain_loops():
    rng = np.random.default_rng(0)
    found = distances(rng.normal(size=(30, 6)), rng.normal(size=(90, 6)), 8)
    inverses = []
    for row in found:
        inverses.append(sum(math.log(row[7] / row[j]) for j in range(7)) / 7)
    made = intrinsic_family(found)
    expected = 1 / (sum(inverses) / len(inverses))
    assert made["intrinsic_dimension"].value == pytest.approx(expected, rel=1e-12)
    assert made["intrinsic_scale"].value == pytest.approx(found[:, 7].mean(), rel=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_a_flat_patch_has_its_dimension(dimension):
    rng = np.random.default_rng(dimension)
    found = distances(patch(rng, 500, dimension), patch(rng, 3000, dimension), 20)
    made = intrinsic_family(found)["intrinsic_dimension"]
    assert made.value == pytest.approx(dimension, rel=0.12)


def test_the_interval_is_as_wide_as_new_draws_of_the_latents():
    rng = np.random.default_rng(4)
    train = patch(rng, 800, 3)
    draws = [intrinsic_family(distances(patch(rng, 100, 3), train, 10)) for _ in range(80)]
    for name in draws[0]:
        spread_of_values = np.std([made[name].value for made in draws])
        half = np.median([(made[name].high - made[name].low) / 2 / 1.96 for made in draws])
        assert 0.75 < half / spread_of_values < 1.33


@pytest.mark.golden
def test_distances_are_those_of_scipy_even_far_from_the_origin():
    rng = np.random.default_rng(5)
    train, z = (rng.normal(size=(n, 12)).astype(np.float32) + 100 for n in (60, 7))
    found = nearest_distances(torch.from_numpy(train), torch.from_numpy(z), k=5).numpy()
    assert found == pytest.approx(distances(z.astype(float), train.astype(float), 5), rel=1e-9)
    pairs = cdist(train.astype(float), train.astype(float)) ** 2
    assert spread(torch.from_numpy(train)) == pytest.approx(math.sqrt(pairs.mean()), rel=1e-9)


def test_latents_that_are_training_latents_are_left_out_and_counted():
    found = np.array([[0.0, 0.5, 1.0], [0.25, 0.5, 1.0]])
    made = intrinsic_family(found)["intrinsic_dimension"]
    assert made.value == pytest.approx(1 / (math.log(8) / 2))
    alone = intrinsic_family(np.vstack([found, found[1:]]))["intrinsic_dimension"]
    assert "without 1 latent equal" in alone.method
    same = intrinsic_family(np.zeros((3, 4)))["intrinsic_dimension"]
    assert math.isnan(same.value)
    assert "no latent is apart" in same.method


def test_equal_training_latents_have_neither():
    made = intrinsic_family(np.full((3, 4), np.nan))
    assert all(math.isnan(one.value) for one in made.values())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones((4, 2)), "k of 3 or more"),
        ([[1.0, 3.0, 2.0]], "ascending"),
        ([[-1.0, 1.0, 2.0]], "0 or more"),
    ],
)
def test_what_is_refused(bad, message):
    with pytest.raises(InputError, match=message):
        intrinsic_family(bad)
