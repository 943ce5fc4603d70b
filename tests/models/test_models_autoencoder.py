import json

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.autoencoder import (
    build_first_stage,
    coding_flops,
    latent_shape,
    load_first_stage,
    save_first_stage,
)
from ldmbench.schema.models import AutoencoderParams


def tiny(**fields):
    return AutoencoderParams(**({"channels": 8, "codebook": 16} | fields))


def built(folder, *, seed=0, scale=1.0, **fields):
    """Return a fresh first stage as the model that its folder holds."""
    params = tiny(**fields)
    save_first_stage(build_first_stage(params, seed=seed), folder, params=params, scale=scale)
    return load_first_stage(folder)


def images(n=2, size=32):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("regularization", ["kl", "vq"])
@pytest.mark.parametrize("f", [1, 2, 4, 8, 16, 32])
def test_shapes_and_folder_round_trip(f, regularization, tmp_path):
    params = tiny(f=f, regularization=regularization)
    stage = build_first_stage(params, seed=3)
    for name in ("a", "b"):
        save_first_stage(stage, tmp_path / name, params=params, scale=1.5)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    model, x = load_first_stage(tmp_path / "a"), images()
    assert (model.info.f, model.info.scale) == (f, 1.5)
    z = model.encode(x)
    assert tuple(z.shape[1:]) == model.shape_of(32) == latent_shape(params, 32)
    y = model.decode(z)
    assert y.shape == x.shape
    assert y.dtype == torch.float32
    with torch.no_grad():
        assert torch.allclose(z, 1.5 * stage.encode(x), atol=1e-5)
        assert torch.allclose(y, stage.decode(z / 1.5), atol=1e-4)


def test_identity_returns_the_image(tmp_path):
    model, x = built(tmp_path, f=1), images()
    assert torch.equal(model.encode(x), x)
    assert model.info.parameters == 0
    assert coding_flops(tiny(f=1), 32) == (0, 0)
    assert model.rate(x).bits_per_pixel.tolist() == [24.0, 24.0]


def test_kl_draws_are_per_image_and_centre_on_the_mode(tmp_path):
    model, x = built(tmp_path, f=2), images(3)
    noise = torch.randn(3, *model.shape_of(32), generator=torch.Generator().manual_seed(1))
    assert torch.equal(model.encode(x, noise=torch.zeros_like(noise)), model.encode(x))
    up, down = model.encode(x, noise=noise), model.encode(x, noise=-noise)
    assert torch.allclose((up + down) / 2, model.encode(x), atol=1e-5)
    assert not torch.allclose(up, down)


def test_kl_rate_is_the_closed_form(tmp_path):
    model, x = built(tmp_path, f=4, scale=3.0), images()
    posterior = model.first_stage.network.encode(x).latent_dist
    q = torch.distributions.Normal(posterior.mean.double(), posterior.std.double())
    nats = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0))
    want = nats.flatten(1).sum(1) / np.log(2) / 32**2
    rate = model.rate(x)
    assert torch.allclose(rate.bits_per_pixel, want, rtol=1e-5)
    assert rate.codes is None


def test_vq_rate_counts_positions_and_returns_the_codes_that_decode(tmp_path):
    model, x = built(tmp_path, f=4, regularization="vq"), images()
    rate = model.rate(x)
    assert rate.bits_per_pixel.tolist() == [8 * 8 * 4 / 32**2] * 2
    assert rate.codes.shape == (2, 8, 8)
    assert rate.codebook == 16
    picked = model.first_stage.network.quantize.embedding.weight[rate.codes].permute(0, 3, 1, 2)
    assert torch.allclose(model.decode(model.encode(x)), model.decode(picked), atol=1e-5)


def test_seed_decides_weights_and_global_state_is_left_alone():
    before = torch.get_rng_state()
    a, b, c = (build_first_stage(tiny(f=2), seed=s).network.state_dict() for s in (5, 5, 6))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)


def test_impossible_shapes_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not divide"):
        latent_shape(tiny(f=32), 48)
    with pytest.raises(InputError, match="does not divide"):
        built(tmp_path, f=32).shape_of(48)
    with pytest.raises(InputError, match="levels"):
        build_first_stage(tiny(f=4, multipliers=(1, 2)), seed=0)


@pytest.mark.parametrize("regularization", ["kl", "vq"])
def test_flops_scale_with_area(regularization):
    small, large = (coding_flops(tiny(f=4, regularization=regularization), n) for n in (32, 64))
    assert large == tuple(4 * n for n in small)
    assert min(small) > 0


def test_folder_is_diffusers_own(tmp_path):
    model = built(tmp_path, f=2, scale=0.5)
    assert json.loads((tmp_path / "config.json").read_text())["scaling_factor"] == 0.5
    theirs = AutoencoderKL.from_pretrained(tmp_path, local_files_only=True).eval()
    x = images()
    with torch.no_grad():
        wanted = theirs.encode(x).latent_dist.mean * 0.5  # from weights that lie unaligned
        torch.testing.assert_close(model.encode(x), wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(load(tmp_path).encode(x), model.encode(x))


def test_damaged_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_first_stage(tmp_path)
    built(tmp_path, f=2)
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"diffusion_pytorch_model\.safetensors"):
        load_first_stage(tmp_path)
