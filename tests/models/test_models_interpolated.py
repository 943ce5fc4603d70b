"""Latents moved towards neighbours, against the lines of the original (arXiv:2603.05630)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ldmbench.models.interpolated import costs_of, drawn, nearest, slerp, towards_neighbours

GOLDEN = dict(np.load(Path(__file__).parents[1] / "golden" / "interpolated.npz"))
TRAIN, VAL = (torch.from_numpy(GOLDEN[name]).flatten(1) for name in ("train", "val"))


@pytest.mark.golden
def test_costs_neighbours_and_chances():
    assert costs_of(TRAIN, VAL).T.numpy() == pytest.approx(GOLDEN["slerp.cost"], abs=1e-6)
    places, chances = nearest(TRAIN, VAL, k=10)
    assert np.array_equal(places.numpy(), GOLDEN["slerp.top_idx"])
    assert chances.numpy() == pytest.approx(GOLDEN["slerp.prob"], abs=1e-6)


@pytest.mark.golden
@pytest.mark.parametrize(("variant", "alpha"), [("slerp", 0.5), ("slerp_a0.25", 0.25)])
def test_interpolations_with_the_neighbours_that_the_original_drew(variant, alpha):
    picked = GOLDEN[f"{variant}.picked"]
    chosen = TRAIN[GOLDEN[f"{variant}.top_idx"][np.arange(len(picked)), picked]]
    expected = GOLDEN[f"{variant}.z_intp"].reshape(len(picked), -1)
    assert slerp(VAL, chosen, alpha).numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.golden
def test_opposite_latents_give_nothing():
    expected = GOLDEN["slerp_antiparallel"].reshape(4, -1)
    assert slerp(VAL[:4], -VAL[:4], 0.5).numpy() == pytest.approx(expected, abs=1e-6)


def test_draws_depend_on_seed_and_index_alone():
    chances = torch.full((6, 10), 0.1)
    all_six = drawn(chances, range(6), seed=0)
    assert torch.equal(drawn(chances[3:], range(3, 6), seed=0), all_six[3:])
    assert not torch.equal(drawn(chances, range(6), seed=1), all_six)
    one = torch.zeros(1, 10)
    one[0, 7] = 1.0
    assert drawn(one, [0], seed=0).item() == 7


def test_a_latent_that_does_not_move_stays():
    z = torch.from_numpy(GOLDEN["val"])
    moved = towards_neighbours(TRAIN, z, range(6), k=10, alpha=0.0, seed=0)
    assert moved.numpy() == pytest.approx(z.numpy(), abs=1e-5)
