"""The first stages that ship: whole, checked, and good enough to build on."""

import shutil

import numpy as np
import pytest
import torch

from ldmbench.canonical import digest
from ldmbench.data.shapes import render, split_indices
from ldmbench.errors import InputError
from ldmbench.metrics.paired import psnr
from ldmbench.models.shipped import load_shipped
from ldmbench.schema.weights import (
    FIRST_STAGES_FOLDER,
    first_stages_in,
    shipped_first_stage,
)

FACTORS = (2, 4, 8)
# dB at 32 and 64 pixels, plain: half a dB under what these 32 images gave when they were made
LEAST = {2: (29.4, 23.1), 4: (27.0, 22.6), 8: (25.0, 21.3)}


def pictures(resolution, count=32):
    images = render(split_indices("validation", 0, count), resolution=resolution).images
    return images, torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def decoded(stage, x):
    y = stage.decode(stage.encode(x)).clamp(-1, 1)
    return ((y + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def test_there_is_one_for_each_factor_within_six_megabytes():
    rows = first_stages_in()
    assert [row.name for row in rows] == [f"shapes-kl-f{f}" for f in FACTORS]
    assert sum(row.bytes for row in rows) <= 6_000_000
    for row in rows:
        assert row.digest == digest(row.files)
        files = (FIRST_STAGES_FOLDER / row.name).iterdir()
        assert {p.name: p.stat().st_size for p in files}.keys() == row.files.keys()
        assert "cost.json" in row.files


def test_one_is_found_by_factor_and_regularization():
    assert shipped_first_stage(4, "kl").name == "shapes-kl-f4"
    with pytest.raises(InputError, match=r"'vq-f4'.*there are: kl-f2, kl-f4, kl-f8"):
        shipped_first_stage(4, "vq")


@pytest.mark.parametrize("f", FACTORS)
@pytest.mark.parametrize("resolution", [32, 64])
def test_images_come_back(f, resolution):
    stage = load_shipped(f"shapes-kl-f{f}")
    images, x = pictures(resolution)
    assert psnr(images, decoded(stage, x)).mean() > LEAST[f][resolution // 64]


@pytest.mark.parametrize("f", FACTORS)
def test_latents_have_unit_spread_and_no_dead_channel(f):
    stage = load_shipped(f"shapes-kl-f{f}")
    assert all(p.dtype == torch.float32 for p in stage.first_stage.network.parameters())
    z = stage.encode(pictures(32, 256)[1])
    assert tuple(z.shape[1:]) == stage.shape_of(32)
    assert z.std().item() == pytest.approx(1.0, abs=0.1)
    assert z.std(dim=(0, 2, 3)).min() > 0.3


@pytest.mark.parametrize("f", FACTORS)
def test_a_little_noise_on_latents_changes_images_a_little(f):
    stage = load_shipped(f"shapes-kl-f{f}")
    _, x = pictures(32)
    z = stage.encode(x)
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    moved = stage.decode(z + 0.05 * noise) - stage.decode(z)
    assert moved.square().mean().sqrt() < 0.1


def test_a_changed_file_is_refused(tmp_path):
    root = tmp_path / "weights"
    shutil.copytree(FIRST_STAGES_FOLDER, root)
    card = root / "shapes-kl-f8" / "ldmbench.json"
    card.write_text(card.read_text().replace("scale", "scale "))
    with pytest.raises(InputError, match=r"ldmbench.json is not the file that is shipped"):
        load_shipped("shapes-kl-f8", root=root)
    card.unlink()
    with pytest.raises(InputError, match="reinstall"):
        load_shipped("shapes-kl-f8", root=root)


def test_an_unknown_name_is_answered_with_all():
    with pytest.raises(InputError, match="there are: shapes-kl-f2, shapes-kl-f4, shapes-kl-f8"):
        load_shipped("shapes-kl-f16")


def test_loading_leaves_randomness_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    load_shipped("shapes-kl-f8")
    assert torch.equal(before, torch.get_rng_state())
    assert np.isfinite(load_shipped("shapes-kl-f8").info.scale)
