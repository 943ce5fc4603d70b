import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.conditioner import Brought
from ldmbench.models.denoiser import build_denoiser
from ldmbench.models.flops import count_flops
from ldmbench.schema.models import DenoiserParams
from ldmbench.schema.networks import default_multipliers


def tiny(conditioning="caption", size=8, **fields):
    params = DenoiserParams(
        **({"channels": 8, "context_channels": 8, "conditioning": conditioning} | fields)
    )
    return build_denoiser(
        params, latent_channels=3, latent_size=size, brought=Brought(classes=5), seed=1
    )


def latents(n=2, size=8):
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, size, size, generator=g), torch.tensor([3, 700])[:n]


GIVEN = {"none": None, "class": [0, 4], "caption": ["a red circle", "a blue star"]}


def saved(model, folder):
    raw = {name: p.detach() + 1 for name, p in model.named_parameters()}
    model.save(folder, raw=raw, apart=False)
    return folder


@pytest.mark.parametrize("conditioning", ["none", "class", "caption"])
def test_folder_round_trip(conditioning, tmp_path):
    denoiser = tiny(conditioning).eval()
    z, t = latents()
    saved(denoiser, tmp_path / "a")
    saved(denoiser, tmp_path / "b")
    files = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert all(
        (tmp_path / "a" / p).read_bytes() == (tmp_path / "b" / p).read_bytes() for p in files
    )
    model, again = denoiser.model(), load(tmp_path / "a")
    assert again.info.parameters == denoiser.parameter_count
    assert (again.info.schedule.prediction, again.info.timesteps) == ("epsilon", "leading")
    made = [m.eps(z, t, GIVEN[conditioning]) for m in (model, again)]
    assert torch.allclose(*made, atol=1e-6)
    raw = load(tmp_path / "a", ema=False)
    assert (again.info.weights, raw.info.weights) == ("ema", "raw")
    for name, network in again.networks().items():
        for p, q in zip(network.parameters(), raw.networks()[name].parameters()):
            assert torch.equal(p + 1, q)


@pytest.mark.parametrize("conditioning", ["none", "class", "caption"])
def test_what_is_trained_is_what_is_sampled(conditioning):
    denoiser = tiny(conditioning).eval()
    z, t = latents()
    told = GIVEN[conditioning]
    ids = denoiser.conditions(captions=told, labels=told) if told else None
    with torch.no_grad():
        assert torch.equal(denoiser(z, t, ids), denoiser.model().eps(z, t, told))


@pytest.mark.parametrize("size", [1, 2, 4, 6, 8, 16, 32, 64])
def test_every_latent_size_has_a_network(size):
    model = tiny(size=size)
    z, t = latents(1, size)
    with torch.no_grad():
        assert model(z, t, model.null_ids(1)).shape == z.shape


def test_parameters_are_alike_across_latent_sizes():
    counts = [tiny("none", size=size).parameter_count for size in (4, 8, 16, 32, 64)]
    assert max(counts) < 2 * min(counts)
    assert default_multipliers(64) == (1, 1, 2, 2, 4)


@pytest.mark.parametrize("conditioning", ["class", "caption"])
def test_null_ids_are_the_null_condition(conditioning):
    denoiser = tiny(conditioning).eval()
    z, t = latents()
    model = denoiser.model()
    null = model.condition.null(None, z)
    with torch.no_grad():
        told = denoiser(z, t, denoiser.null_ids(2))
    assert torch.equal(told, model.eps(z, t, null))
    assert not torch.equal(told, model.eps(z, t, GIVEN[conditioning]))


def test_v_is_converted_as_diffusers_does():
    denoiser = tiny("none", objective="v").eval()
    z, t = latents(1)
    with torch.no_grad():
        v, eps = denoiser(z, t), denoiser.model().eps(z, t)
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
    model = tiny()
    z, t = latents(1)
    ids = model.conditions(captions=["a red circle"])
    assert (
        count_flops(lambda: model(z, t, ids)) == model.flops_per_image() + model.condition_flops()
    )


def test_unet_folder_is_diffusers_own(tmp_path):
    denoiser = tiny().eval()
    saved(denoiser, tmp_path)
    theirs = UNet2DConditionModel.from_pretrained(tmp_path / "unet", local_files_only=True).eval()
    z, t = latents()
    with torch.no_grad():
        context = denoiser.conditioner(denoiser.conditions(captions=GIVEN["caption"]))
        wanted = theirs(z, t, context).sample  # from weights that lie unaligned
        made = load(tmp_path).eps(z, t, GIVEN["caption"])
        torch.testing.assert_close(made, wanted, rtol=1e-4, atol=1e-5)


def test_a_denoiser_without_its_first_stage_is_not_loaded_alone(tmp_path):
    denoiser = tiny()
    raw = dict(denoiser.named_parameters())
    denoiser.save(tmp_path, raw=raw, apart=True)
    with pytest.raises(InputError, match="ldmbench export CELL OUT"):
        load(tmp_path)


def test_wrong_input_says_what_is_needed():
    with pytest.raises(InputError, match="captions"):
        tiny().conditions(labels=[1])
    with pytest.raises(InputError, match=r"\[0, 5\)"):
        tiny("class").conditions(labels=[9])
    with pytest.raises(InputError, match="halved"):
        tiny(multipliers=(1, 1, 1, 1, 1), size=8)
    with pytest.raises(InputError, match="class labels"):
        build_denoiser(
            DenoiserParams(conditioning="class"), latent_channels=3, latent_size=8, seed=0
        )
