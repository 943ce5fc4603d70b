import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from ldmbench.errors import InputError
from ldmbench.models.denoiser import build_denoiser, default_multipliers, load_denoiser
from ldmbench.schema.models import DenoiserParams


def tiny(conditioning="caption", size=8, **fields):
    params = DenoiserParams(
        **({"channels": 8, "context_channels": 8, "conditioning": conditioning} | fields)
    )
    return build_denoiser(params, latent_channels=3, latent_size=size, classes=5, seed=1)


def latents(n=2, size=8):
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, size, size, generator=g), torch.tensor([3, 700])[:n]


def given(model):
    return model.condition(captions=["a red circle", "a blue star"], labels=[0, 4])


@pytest.mark.parametrize("conditioning", ["none", "class", "caption"])
def test_folder_round_trip(conditioning, tmp_path):
    model = tiny(conditioning).eval()
    z, t = latents()
    with torch.no_grad():
        out = model.predict(z, t, given(model))
    assert out.shape == z.shape
    model.save(tmp_path / "a")
    model.save(tmp_path / "b")
    files = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert all(
        (tmp_path / "a" / p).read_bytes() == (tmp_path / "b" / p).read_bytes() for p in files
    )
    again = load_denoiser(tmp_path / "a")
    assert again.parameter_count == model.parameter_count
    assert torch.equal(again.predict(z, t, given(again)), out)


@pytest.mark.parametrize("size", [1, 2, 4, 6, 8, 16, 32, 64])
def test_every_latent_size_has_a_network(size):
    model = tiny(size=size)
    z, t = latents(1, size)
    with torch.no_grad():
        assert model.predict(z, t, model.null_condition(1)).shape == z.shape


def test_parameters_are_alike_across_latent_sizes():
    counts = [tiny("none", size=size).parameter_count for size in (4, 8, 16, 32, 64)]
    assert max(counts) < 2 * min(counts)
    assert default_multipliers(64) == (1, 1, 2, 2, 4)


def test_null_condition_is_the_empty_caption_and_the_default():
    model = tiny().eval()
    z, t = latents()
    with torch.no_grad():
        null = model.predict(z, t, model.null_condition(2))
        assert torch.equal(null, model.predict(z, t))
        assert torch.equal(null, model.predict(z, t, model.condition(captions=["", ""])))
        assert not torch.equal(null, model.predict(z, t, given(model)))


def test_v_is_converted_as_diffusers_does():
    model = tiny("none", prediction="v").eval()
    z, t = latents(1)
    with torch.no_grad():
        v, eps = model.predict(z, t), model.eps(z, t)
    s = DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.0015,
        beta_end=0.0195,
        prediction_type="v_prediction",
        clip_sample=False,
    )
    s.set_timesteps(1000)
    x0 = s.step(v, int(t), z).pred_original_sample
    abar = s.alphas_cumprod[t]
    assert torch.allclose(eps, (z - abar.sqrt() * x0) / (1 - abar).sqrt(), atol=1e-4)


def test_flops_match_a_real_forward_pass():
    from torch.utils.flop_counter import FlopCounterMode

    model = tiny()
    z, t = latents(1)
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        model(z, t, model.ids(captions=["a red circle"]))
    assert counted.get_total_flops() == model.flops_per_image() + model.condition_flops()


def test_unet_folder_is_diffusers_own(tmp_path):
    model = tiny().eval()
    model.save(tmp_path)
    theirs = UNet2DConditionModel.from_pretrained(tmp_path / "unet", local_files_only=True).eval()
    z, t = latents()
    with torch.no_grad():
        cond = given(model)
        wanted = theirs(z, t, cond).sample  # from weights that lie unaligned
        torch.testing.assert_close(model.predict(z, t, cond), wanted, rtol=1e-4, atol=1e-5)


def test_wrong_input_says_what_is_needed():
    with pytest.raises(InputError, match="captions"):
        tiny().condition(labels=[1])
    with pytest.raises(InputError, match=r"\[0, 5\)"):
        tiny("class").condition(labels=[9])
    with pytest.raises(InputError, match="halved"):
        tiny(multipliers=(1, 1, 1, 1, 1), size=8)
    with pytest.raises(InputError, match="class labels"):
        build_denoiser(
            DenoiserParams(conditioning="class"), latent_channels=3, latent_size=8, seed=0
        )
