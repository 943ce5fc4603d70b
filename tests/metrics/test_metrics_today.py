"""MIND, CMMD and KDD: the numbers of their sources, and intervals that hold the mean."""

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from ldmbench.errors import InputError
from ldmbench.metrics import cmmd, kdd, mind
from ldmbench.metrics.families import kdd_family
from ldmbench.metrics.gaussian import cmmd_family, of_embeddings
from ldmbench.metrics.sliced import mind_family

GOLDEN = Path(__file__).parents[1] / "golden"
NUMBERS = json.loads((GOLDEN / "metrics_today.json").read_text())["pairs"]
spec = importlib.util.spec_from_file_location("recipes_today", GOLDEN / "recipes_today.py")
recipes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recipes)


@pytest.fixture(scope="module", params=NUMBERS)
def golden(request):
    x, y = recipes.pair(request.param)
    known = NUMBERS[request.param]
    assert [hashlib.sha256(side.tobytes()).hexdigest() for side in (x, y)] == known["sha256"]
    return x, y, known


@pytest.mark.golden
def test_mind_is_torch_fidelitys(golden):
    x, y, known = golden
    assert mind(x, y) == pytest.approx(known["mind"]["M1000_seed2020"], rel=1e-9)
    found = mind(x, y, projections=100, seed=7)
    assert found == pytest.approx(known["mind"]["M100_seed7"], rel=1e-9)
    assert mind(y, x, projections=100, seed=7) == pytest.approx(found, rel=1e-12)


@pytest.mark.golden
def test_cmmd_is_that_of_its_source(golden):
    x, y, known = golden
    assert cmmd(x, y) == pytest.approx(known["cmmd"], rel=1e-9)


@pytest.mark.golden
def test_kdd_is_dgm_evals(golden):
    x, y, known = golden
    found, theirs = kdd(x, y, subset_size=200), known["kdd_100x200_seed0"]
    assert found.mean == pytest.approx(theirs["mean"], rel=1e-4, abs=1e-7)  # theirs is float32
    assert found.std == pytest.approx(theirs["std"], rel=1e-2)


def sets(seed, shift=0.2):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((200, 8)) + shift, rng.standard_normal((300, 8)), rng


@pytest.mark.parametrize(
    ("family", "value"),
    [
        (mind_family, mind),
        (cmmd_family, cmmd),
        (kdd_family, lambda x, y: kdd(x, y).mean),
    ],
)
def test_families_give_the_function_with_an_interval(family, value):
    x, y, _ = sets(0)
    (found,) = family(x, y).values()
    assert found.value == pytest.approx(value(x, y), rel=1e-6)
    assert found.low < found.value < found.high
    assert found.replicates.shape == (200,)


@pytest.mark.parametrize(
    ("family", "most"), [(mind_family, {"projections": 50}), (cmmd_family, {})]
)
def test_intervals_are_as_wide_as_fresh_draws_spread(family, most):
    made = [next(iter(family(*sets(seed)[:2], **most).values())) for seed in range(40)]
    spread = np.std([one.value for one in made], ddof=1)
    width = np.mean([one.high - one.low for one in made]) / (2 * 1.96)
    assert 0.7 * spread < width < 1.5 * spread


def test_known_values():
    x, y, _ = sets(1)
    assert mind(x, x) == 0.0
    assert mind(x + 0.5, x) == pytest.approx(3 * 8 * 0.25, rel=0.1)  # 3 D c^2
    assert cmmd(x, x) == pytest.approx(0.0, abs=1e-9)
    assert cmmd(x + 1e6, y + 1e6) == pytest.approx(cmmd(x, y), rel=1e-6)
    (one,) = of_embeddings(x * 7, y).values()
    (same,) = of_embeddings(x, y * 0.1).values()
    assert one.value == pytest.approx(same.value, rel=1e-9)


def test_bad_input_is_refused():
    x, y, _ = sets(2)
    for metric in (mind, cmmd, kdd):
        with pytest.raises(InputError):
            metric(x[:, :3], y)
    with pytest.raises(InputError, match="at least 1"):
        mind(x, y, projections=0)
