"""Every number that a reference implementation gave is given here too."""

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from ldmbench.errors import InputError, LdmbenchError
from ldmbench.metrics import (
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    moments,
    precision_recall,
    psnr,
    ssim,
)
from ldmbench.metrics.paired import CONVENTIONS

GOLDEN = Path(__file__).parents[1] / "golden"
NUMBERS = json.loads((GOLDEN / "metrics.json").read_text())
spec = importlib.util.spec_from_file_location("golden_recipes", GOLDEN / "recipes.py")
recipes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recipes)

pytestmark = pytest.mark.golden
BAD = ("nan64", "one64")
GOOD = [name for name in recipes.PAIRS if name not in BAD]


@pytest.fixture(scope="module")
def pairs():
    return {name: recipes.pair(name) for name in recipes.PAIRS}


@pytest.mark.parametrize("name", recipes.PAIRS)
def test_recipe_bytes(pairs, name):
    found = [hashlib.sha256(x.tobytes()).hexdigest() for x in pairs[name]]
    assert found == NUMBERS["pairs"][name]["sha256"]


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("cached", [False, True])
def test_fid(pairs, name, cached):
    x, y = pairs[name]
    value = frechet_distance(x, moments(y) if cached else y)
    for key, entry in NUMBERS["pairs"][name]["fid"].items():
        if key.endswith("_f32"):  # means taken in float32 are off by design
            continue
        assert value == pytest.approx(entry["value"], rel=1e-6, abs=1e-6), key


@pytest.mark.parametrize("name", [n for n in GOOD if n != "rank64"])
def test_kid(pairs, name):
    entry = NUMBERS["pairs"][name]["kid"]["torch_fidelity_default_f64"]["value"]
    found = kernel_distance(*pairs[name])
    assert found.mean == pytest.approx(entry["kernel_inception_distance_mean"], rel=1e-6, abs=1e-6)
    assert found.std == pytest.approx(entry["kernel_inception_distance_std"], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", [n for n in GOOD if n not in ("rank64", "offset64")])
def test_kid_other_subsets(pairs, name):
    entry = NUMBERS["pairs"][name]["kid"]["torch_fidelity_subset500x20_seed7_f32"]["value"]
    found = kernel_distance(*pairs[name], subsets=20, subset_size=500, seed=7)
    # float32 sums in the reference: relative to the kernel's own size
    assert found.mean == pytest.approx(entry["kernel_inception_distance_mean"], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", GOOD)
def test_kid_one_subset_of_all(pairs, name):
    x, y = pairs[name]
    if name == "memorised64" or len(x) == len(y):
        full = kernel_distance(x, y, subsets=None).mean
        one = kernel_distance(x, y, subsets=1, subset_size=len(x)).mean
        assert full == pytest.approx(one, rel=1e-7, abs=1e-10)
    entry = NUMBERS["pairs"][name]["kid"]["torch_fidelity_full_1subset_f64"]["value"]
    found = kernel_distance(x, y, subsets=1, subset_size=min(len(x), len(y)))
    assert found.mean == pytest.approx(entry["kernel_inception_distance_mean"], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("rule", ["le", "lt"])
@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("name", GOOD)
def test_manifold(pairs, name, k, rule):
    entry = NUMBERS["pairs"][name]["prdc"][f"ref64_cdist_k{k}_not_peer"]["value"][rule]
    pr = precision_recall(*pairs[name], k=k, rule=rule)
    dc = density_coverage(*pairs[name], k=k, rule=rule)
    assert pr.precision == pytest.approx(entry["precision"], abs=1e-12)
    assert pr.recall == pytest.approx(entry["recall"], abs=1e-12)
    assert dc.density == pytest.approx(entry["density"], abs=1e-12 * max(1.0, dc.density))
    assert dc.coverage == pytest.approx(entry["coverage"], abs=1e-12)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize(
    "metric", [frechet_distance, kernel_distance, precision_recall, density_coverage]
)
def test_bad_sets_get_one_sentence(pairs, name, metric):
    with pytest.raises(InputError) as caught:
        metric(*pairs[name])
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, LdmbenchError)
    assert isinstance(caught.value, ValueError)


def test_inception_score():
    for name, entry in NUMBERS["inception_score"].items():
        logits = recipes.make(recipes.LOGITS[name])
        for key, splits, seed in (
            ("torch_fidelity_10_shuffle_seed2020", 10, 2020),
            ("torch_fidelity_10_noshuffle", 10, None),
            ("torch_fidelity_1_noshuffle", 1, None),
        ):
            if splits > len(logits):
                with pytest.raises(InputError):
                    inception_score(logits, splits=splits, shuffle_seed=seed)
                continue
            value = inception_score(logits, splits=splits, shuffle_seed=seed)
            assert value.mean == pytest.approx(
                entry[key]["value"]["inception_score_mean"], rel=1e-9
            )
            assert value.std == pytest.approx(
                entry[key]["value"]["inception_score_std"], rel=1e-9, abs=1e-9
            )


def test_image_pairs():
    images = np.load(GOLDEN / "image_pairs.npz")
    for name, entry in json.loads((GOLDEN / "image_pairs.json").read_text())["pairs"].items():
        a, b = images[f"{name}_a"][None], images[f"{name}_b"][None]
        assert psnr(a, b)[0] == pytest.approx(float(entry["skimage_psnr_range255"]), rel=1e-12)
        for convention in CONVENTIONS:
            value = ssim(a, b, convention=convention)[0]
            assert value == pytest.approx(entry[convention], rel=1e-9, abs=1e-12), convention
