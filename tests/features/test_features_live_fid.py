"""FID of image folders: torch-fidelity and clean-fid run here, on the same images and weights."""

import warnings

import numpy as np
import pytest
import torch
from cleanfid import fid
from cleanfid.inception_torchscript import InceptionV3W
from PIL import Image
from torch_fidelity import calculate_metrics

from ldmbench.features import load_extractor
from ldmbench.metrics import frechet_distance, inception_score, kernel_distance, precision_recall

pytestmark = [pytest.mark.golden, pytest.mark.slow]
N = 5
COLUMNS = 256
"""Features of which clean-fid takes the distance: the square root of 2,048 takes half a minute."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of PNGs and the same images as arrays."""
    rng, made = np.random.default_rng(5), []
    for name, noise in (("generated", 20), ("reference", 40)):
        folder = tmp_path_factory.mktemp(name)
        coarse = rng.integers(0, 256, (N, 8, 8, 3)).repeat(8, 1).repeat(8, 2)
        fine = rng.integers(-noise, noise, coarse.shape)
        images = np.clip(coarse + fine, 0, 255).astype(np.uint8)
        for i, image in enumerate(images):
            Image.fromarray(image).save(folder / f"{i:03d}.png")
        made.append((folder, images))
    return made


def extracted(name, path, folders):
    extractor = load_extractor(name, path=path)
    return [extractor.extract(images) for _, images in folders]


def test_torch_fidelity_from_images(folders, inception_pth):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = calculate_metrics(
            input1=str(folders[0][0]), input2=str(folders[1][0]), cuda=False, batch_size=N,
            fid=True, kid=True, isc=True, prc=True, kid_subset_size=N, isc_splits=2, cache=False,
            feature_extractor="inception-v3-compat", save_cpu_ram=True, verbose=False,
            feature_extractor_weights_path=str(inception_pth),
        )  # fmt: skip
    generated, reference = extracted("inception-v3-compat", inception_pth, folders)
    x, y = generated["features"], reference["features"]
    value = theirs["frechet_inception_distance"]
    assert frechet_distance(x, y) == pytest.approx(value, rel=1e-4)
    kid = kernel_distance(x, y, subset_size=N)
    assert kid.mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    pr = precision_recall(x, y)
    assert pr.precision == pytest.approx(theirs["precision"], abs=1e-6)
    assert pr.recall == pytest.approx(theirs["recall"], abs=1e-6)
    score = inception_score(generated["logits"], splits=2)
    assert score.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-5)


def test_clean_fid_from_images(folders, inception_script):
    network = InceptionV3W(str(inception_script.parent), download=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = [
            fid.get_folder_features(
                str(folder), model=network, num_workers=0, batch_size=N, verbose=False,
                device=torch.device("cpu"), mode="clean",
            )
            for folder, _ in folders
        ]  # fmt: skip
        try:
            value = float(fid.fid_from_feats(*(rows[:, :COLUMNS] for rows in theirs)))
        except TypeError:  # scipy 1.18 took sqrtm's disp away
            pytest.skip("this clean-fid does not run with this scipy")
    both = extracted("inception-v3-clean", inception_script, folders)
    ours = [made["features"] for made in both]
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(one - other).max() <= 2e-4 * np.abs(other).max()
    assert frechet_distance(*(rows[:, :COLUMNS] for rows in ours)) == pytest.approx(value, rel=1e-4)
