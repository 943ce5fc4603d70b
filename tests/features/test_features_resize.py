"""Resizers against the libraries whose rule they carry."""

import numpy as np
import open_clip
import pytest
import torch
from cleanfid.resize import build_resizer
from PIL import Image
from torch_fidelity.interpolate_compat_tensorflow import (
    interpolate_bilinear_2d_like_tensorflow1x,
)

from ldmbench.features.resize import RESIZERS


def images(height, width, n=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(32, 32), (64, 48), (299, 299), (300, 512)])
def test_tf_bilinear_is_torch_fidelity_bit_for_bit(size):
    x = images(*size)
    theirs = interpolate_bilinear_2d_like_tensorflow1x(
        torch.from_numpy(x).permute(0, 3, 1, 2).float(), size=(299, 299), align_corners=False
    )
    assert torch.equal(RESIZERS["tf-bilinear"](torch.from_numpy(x), 299), theirs)


@pytest.mark.parametrize("size", [(32, 32), (64, 48), (512, 400)])
def test_pil_bicubic_is_clean_fid_bit_for_bit(size):
    x = images(*size)
    resize = build_resizer("clean")
    theirs = np.stack([resize(image) for image in x]).transpose(0, 3, 1, 2)
    ours = RESIZERS["pil-bicubic-float"](torch.from_numpy(x), 299).numpy()
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("size", [(64, 64), (100, 63), (61, 300)])
def test_pil_bicubic_crop_is_open_clip(size):
    x = images(*size)
    theirs = open_clip.image_transform(48, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))
    expected = torch.stack([theirs(Image.fromarray(image)) for image in x]) * 255
    ours = RESIZERS["pil-bicubic-crop"](torch.from_numpy(x), 48)
    assert (ours - expected).abs().max() < 1e-3


def test_bilinear_aa_keeps_images_of_its_side():
    x = torch.from_numpy(images(64, 64))
    assert torch.equal(RESIZERS["torch-bilinear-aa"](x, 64), x.permute(0, 3, 1, 2).float())


@pytest.mark.parametrize("name", RESIZERS)
def test_constant_images_stay_constant(name):
    x = torch.full((1, 40, 56, 3), 77, dtype=torch.uint8)
    found = RESIZERS[name](x, 64)
    assert found.shape == (1, 3, 64, 64)
    assert found.dtype == torch.float32
    assert (found - 77).abs().max() < 1e-4
