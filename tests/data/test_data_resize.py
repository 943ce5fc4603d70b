"""Crops and resizers: the arithmetic of the loaders they are named after."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ldmbench.data.resize import CROPS, RESIZES, prepare, recipe
from ldmbench.errors import InputError

GOLDEN = Path(__file__).parents[1] / "golden"


def _picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("resize", RESIZES)
def test_every_pair_gives_uint8_of_the_resolution(crop, resize):
    image = _picture(70, 70) if crop == "none" else _picture(131, 70)
    out = prepare(image, 32, crop=crop, resize=resize)
    assert (out.shape, out.dtype, out.flags.c_contiguous) == ((32, 32, 3), np.uint8, True)


@pytest.mark.parametrize("resize", RESIZES)
def test_a_picture_of_the_right_size_is_left_alone_and_grey_stays_grey(resize):
    image = _picture(32, 32)
    for crop in set(CROPS) - {"var"}:  # which enlarges before it crops
        assert np.array_equal(prepare(image, 32, crop=crop, resize=resize), image)
    flat = np.full((75, 93, 3), 137, dtype=np.uint8)
    assert (prepare(flat, 32, crop="center", resize=resize) == 137).all()


@pytest.mark.parametrize(("height", "width"), [(101, 60), (60, 101), (64, 99)])
def test_lsun_is_the_centre_square_then_bicubic(height, width):
    image = _picture(height, width)
    side = min(height, width)
    square = image[
        (height - side) // 2 : (height + side) // 2, (width - side) // 2 : (width + side) // 2
    ]
    expected = np.asarray(Image.fromarray(square).resize((32, 32), Image.Resampling.BICUBIC))
    assert np.array_equal(prepare(image, 32, crop="lsun", resize="pil-bicubic"), expected)


def test_adm_halves_with_boxes_then_bicubic_then_cuts():
    image = _picture(300, 211)
    half = Image.fromarray(image).resize((105, 150), Image.Resampling.BOX)
    quarter = half.resize((52, 75), Image.Resampling.BOX)
    scaled = np.asarray(quarter.resize((30, 43), Image.Resampling.BICUBIC))
    expected = scaled[6:36]
    assert np.array_equal(prepare(image, 30, crop="adm", resize="pil-bicubic"), expected)


def test_area_averages_whole_and_partial_pixels():
    image = _picture(64, 64)
    means = image.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.array_equal(
        prepare(image, 16, crop="none", resize="area"), np.floor(means + 0.5).astype(np.uint8)
    )
    line = np.zeros((3, 3, 3), dtype=np.uint8)
    line[:, 1] = 90  # each half of the side holds half of the middle column: 90 / 3
    assert (prepare(line, 2, crop="none", resize="area") == 30).all()


@pytest.mark.parametrize(("old", "new"), [(64, 32), (75, 32), (20, 32), (97, 13)])
def test_linear_is_torch_bilinear_without_antialiasing(old, new):
    torch = pytest.importorskip("torch")
    image = _picture(old, old)
    ours = prepare(image, new, crop="none", resize="linear", upscale=True).astype(int)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(image).permute(2, 0, 1)[None].double(), size=(new, new), mode="bilinear"
    )
    theirs = theirs[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - theirs).max() <= 0.5 + 1e-6


def test_too_small_is_refused_unless_allowed():
    image = _picture(20, 40)
    with pytest.raises(InputError, match=r"40 x 20 pixels, smaller .* 32.*upscale"):
        prepare(image, 32, crop="center", resize="pil-bicubic")
    assert prepare(image, 32, crop="center", resize="pil-bicubic", upscale=True).shape[0] == 32


def test_none_refuses_what_is_not_square():
    with pytest.raises(InputError, match="use crop: center"):
        prepare(_picture(40, 41), 32, crop="none", resize="pil-box")


def test_names_and_versions():
    assert recipe("lsun", "pil-bicubic") == "crop:lsun@1|resize:pil-bicubic@1"
    with pytest.raises(InputError, match="did you mean 'pil-bicubic'"):
        recipe("lsun", "pil-bicubc")
    with pytest.raises(InputError, match="unknown crop 'middle'"):
        recipe("middle", "area")


@pytest.mark.golden
@pytest.mark.parametrize(
    ("protocol", "crop", "resize"),
    [
        ("adm", "adm", "pil-bicubic"),
        ("ifid", "torchvision", "pil-bilinear"),
        ("titok", "torchvision", "pil-bicubic"),
        ("vavae", "torchvision", "tensor-linear"),
        ("cmmd", "center", "pil-bicubic"),
    ],
)
def test_crops_of_protocols_of_first_stages(protocol, crop, resize):
    """Against torchvision 0.29.2 and Pillow 13.0.0, as the repositories call them."""
    golden = np.load(GOLDEN / "crops_of_protocols.npz")
    made = prepare(golden["image"], 64, crop=crop, resize=resize)
    assert np.array_equal(made, golden[protocol])
