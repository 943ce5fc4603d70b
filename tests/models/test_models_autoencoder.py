import json

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from ldmbench.errors import InputError
from ldmbench.models.autoencoder import build_first_stage, load_first_stage
from ldmbench.schema.models import AutoencoderParams


def tiny(**fields):
    return AutoencoderParams(**({"channels": 8, "codebook": 16} | fields))


def images(n=2, size=32):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("regularization", ["kl", "vq"])
@pytest.mark.parametrize("f", [1, 2, 4, 8, 16, 32])
def test_shapes_and_folder_round_trip(f, regularization, tmp_path):
    stage = build_first_stage(tiny(f=f, regularization=regularization), seed=3)
    stage.scale = 1.5
    x = images()
    z = stage.encode(x)
    assert tuple(z.shape[1:]) == stage.latent_shape(32)
    y = stage.decode(z)
    assert y.shape == x.shape
    assert y.dtype == torch.float32

    stage.save(tmp_path / "a")
    stage.save(tmp_path / "b")
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    again = load_first_stage(tmp_path / "a")
    assert again.scale == 1.5
    assert again.parameters == stage.parameters
    assert torch.equal(again.encode(x), z)
    assert torch.equal(again.decode(z), y)


def test_scale_multiplies_latents_and_is_divided_out():
    stage = build_first_stage(tiny(f=4), seed=0)
    x = images()
    z, y = stage.encode(x), stage.decode(stage.encode(x))
    stage.scale = 4.0
    assert torch.equal(stage.encode(x), 4 * z)
    assert torch.equal(stage.decode(4 * z), y)


def test_identity_returns_the_image():
    stage = build_first_stage(tiny(f=1), seed=0)
    x = images()
    assert stage.encode(x) is x
    assert stage.parameters == 0
    assert stage.flops(32) == (0, 0)
    assert stage.rate(x).bits_per_pixel.tolist() == [24.0, 24.0]


def test_kl_draws_are_per_image_and_centre_on_the_mode():
    stage = build_first_stage(tiny(f=2), seed=0)
    x = images(3)
    noise = torch.randn(3, *stage.latent_shape(32), generator=torch.Generator().manual_seed(1))
    assert torch.equal(stage.encode(x, noise=torch.zeros_like(noise)), stage.encode(x))
    up, down = stage.encode(x, noise=noise), stage.encode(x, noise=-noise)
    assert torch.allclose((up + down) / 2, stage.encode(x), atol=1e-5)
    assert not torch.allclose(up, down)


def test_kl_rate_is_the_closed_form():
    stage = build_first_stage(tiny(f=4), seed=0)
    x = images()
    posterior = stage.module.encode(x).latent_dist
    q = torch.distributions.Normal(posterior.mean.double(), posterior.std.double())
    nats = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0))
    want = nats.flatten(1).sum(1) / np.log(2) / 32**2
    rate = stage.rate(x)
    assert torch.allclose(rate.bits_per_pixel, want, rtol=1e-5)
    assert rate.codes is None


def test_vq_rate_counts_positions_and_returns_the_codes_that_decode():
    stage = build_first_stage(tiny(f=4, regularization="vq"), seed=0)
    x = images()
    rate = stage.rate(x)
    assert rate.bits_per_pixel.tolist() == [8 * 8 * 4 / 32**2] * 2
    assert rate.codes.shape == (2, 8, 8)
    assert rate.codebook == 16
    picked = stage.module.quantize.embedding.weight[rate.codes].permute(0, 3, 1, 2)
    assert torch.allclose(stage.decode(stage.encode(x)), stage.decode(picked), atol=1e-5)


def test_seed_decides_weights_and_global_state_is_left_alone():
    before = torch.get_rng_state()
    a, b, c = (build_first_stage(tiny(f=2), seed=s).module.state_dict() for s in (5, 5, 6))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)


def test_impossible_shapes_are_refused():
    with pytest.raises(InputError, match="does not divide"):
        build_first_stage(tiny(f=32), seed=0).latent_shape(48)
    with pytest.raises(InputError, match="levels"):
        build_first_stage(tiny(f=4, multipliers=(1, 2)), seed=0)


def test_flops_scale_with_area():
    stage = build_first_stage(tiny(f=4), seed=0)
    small, large = stage.flops(32), stage.flops(64)
    assert large == tuple(4 * n for n in small)
    assert min(small) > 0


def test_folder_is_diffusers_own(tmp_path):
    stage = build_first_stage(tiny(f=2), seed=0)
    stage.scale = 0.5
    stage.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["scaling_factor"] == 0.5
    theirs = AutoencoderKL.from_pretrained(tmp_path, local_files_only=True).eval()
    x = images()
    with torch.no_grad():
        wanted = theirs.encode(x).latent_dist.mean * 0.5  # from weights that lie unaligned
        torch.testing.assert_close(stage.encode(x), wanted, rtol=1e-4, atol=1e-5)


def test_damaged_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_first_stage(tmp_path)
    build_first_stage(tiny(f=2), seed=0).save(tmp_path)
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match="does not hold these weights"):
        load_first_stage(tmp_path)
