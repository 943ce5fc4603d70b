"""Noise depends on (seed, index) alone."""

import pytest
import torch

from ldmbench import errors
from ldmbench.sample import initial_noise, step_noise, step_seeds


def test_noise_ignores_batch_and_order():
    shape = (2, 5, 5)
    whole = initial_noise(range(6), seed=3, shape=shape)
    assert whole.shape == (6, *shape)
    assert whole.dtype == torch.float32
    assert torch.equal(initial_noise([4, 1], seed=3, shape=shape), whole[[4, 1]])
    other = initial_noise(range(6), seed=4, shape=shape)
    assert not any(torch.equal(a, b) for a in whole for b in other)


def test_noise_is_standard_normal():
    noise = initial_noise(range(64), seed=0, shape=(4, 16, 16))
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.01


def test_noise_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    initial_noise([1], seed=0, shape=(1, 2, 2))
    step_noise(step_seeds([1], seed=0), draws=2, shape=(1, 2, 2))
    assert torch.equal(before, torch.random.get_rng_state())


def test_step_noise_differs_from_initial_noise():
    first = step_noise(step_seeds([0, 1], seed=0), draws=3, shape=(1, 4, 4))
    assert first.shape == (3, 2, 1, 4, 4)
    assert not torch.equal(first[0], initial_noise([0, 1], seed=0, shape=(1, 4, 4)))
    alone = step_noise(step_seeds([1], seed=0), draws=3, shape=(1, 4, 4))
    assert torch.equal(alone[:, 0], first[:, 1])


def test_bad_seed_is_refused():
    with pytest.raises(errors.InputError, match="sample seed"):
        step_noise([-1], draws=1, shape=(1, 2, 2))


def test_no_indices_give_an_empty_batch():
    assert initial_noise([], seed=0, shape=(3, 2, 2)).shape == (0, 3, 2, 2)
