"""Inception against torch-fidelity and clean-fid run live with the same random weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cleanfid.inception_torchscript import InceptionV3W
from cleanfid.resize import build_resizer
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from ldmbench.catalog.extractors import extractor_named
from ldmbench.errors import InputError
from ldmbench.features import inception
from ldmbench.features.extractor import Use, load_extractor
from ldmbench.features.inception_weights import read_inception

LARGEST = 2e-4


def small(name, path, **options):
    """The extractor with micro-batches of the test's own size."""
    spec = replace(extractor_named(name), batch=4)
    use = Use("0" * 64, torch.device("cpu"), "float32", expected=0)
    return inception.load(spec, path, replace(use, **options))


def assert_near(ours, theirs, tolerance=LARGEST):
    assert theirs.std() > 1e-3
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


@pytest.fixture(scope="module")
def fidelity(inception_pth, noise_images):
    network = FeatureExtractorInceptionV3(
        "inception-v3-compat",
        ["2048", "logits_unbiased"],
        feature_extractor_weights_path=str(inception_pth),
    )
    branch = {}
    network.Mixed_6d.branch1x1.register_forward_hook(lambda m, i, o: branch.update(out=o))
    with torch.no_grad():
        features, logits = network(torch.from_numpy(noise_images).permute(0, 3, 1, 2))
    spatial = branch["out"][:, :7].permute(0, 2, 3, 1).flatten(1)
    return {"features": features.numpy(), "logits": logits.numpy(), "spatial": spatial.numpy()}


@pytest.mark.golden
def test_layers_equal_torch_fidelity(inception_pth, noise_images, fidelity):
    found = small("inception-v3-compat", inception_pth).extract(noise_images)
    assert set(found) == set(fidelity)
    for name, theirs in fidelity.items():
        assert found[name].shape == theirs.shape
        assert found[name].dtype == np.float32
        assert_near(found[name], theirs, 1e-5)


@pytest.mark.golden
def test_features_equal_clean_fid(inception_script, noise_images):
    network = InceptionV3W(str(inception_script.parent), download=False)
    resize = build_resizer("clean")
    resized = np.stack([resize(image) for image in noise_images])
    with torch.no_grad():
        theirs = network(torch.from_numpy(resized).permute(0, 3, 1, 2)).numpy()
    found = small("inception-v3-clean", inception_script).extract(noise_images)
    assert_near(found["features"], theirs)


@pytest.mark.golden
def test_both_files_give_one_network(inception_pth, inception_script):
    one, other = read_inception(inception_pth), read_inception(inception_script)
    for name, tensor in other.items():
        assert torch.equal(one.pop(name), tensor)
    assert {name.rpartition(".")[2] for name in one} == {"num_batches_tracked"}


@pytest.mark.slow
def test_bfloat16_is_near_and_says_so(inception_pth, noise_images, fidelity):
    reduced = small("inception-v3-compat", inception_pth, precision="bfloat16")
    assert reduced.precision == "bfloat16"
    found, known = reduced.extract(noise_images[:1])["features"], fidelity["features"][:1]
    error = np.linalg.norm(found - known) / np.linalg.norm(known)
    assert 1e-5 < error < 0.1


def test_other_files_are_refused(tmp_path, inception_state):
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no weights")
    other = tmp_path / "other.pth"
    torch.save({"a": torch.zeros(2)}, other)
    partial = tmp_path / "partial.pth"
    torch.save({k: v for k, v in inception_state.items() if "Mixed_7c" not in k}, partial)
    foreign = tmp_path / "foreign.pth"
    torch.save(inception_state | {"fc.weight": torch.zeros(1000, 2048)}, foreign)
    for path in (broken, other, partial, foreign):
        with pytest.raises(InputError, match=path.name):
            load_extractor("inception-v3-compat", path=path)
