"""First stages of today: what their own classes compute, and what a denoiser sees of it."""

import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.autoencoder import load_first_stage
from ldmbench.models.convert import convert
from ldmbench.models.taken import first_stage_of_model, save_taken
from ldmbench.sources.models.peek import model_digest, peek

GOLDEN = Path(__file__).parents[1] / "golden"
X = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32).sin()
KL = {
    "block_out_channels": (8, 8, 8), "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3, "norm_num_groups": 4,
}  # fmt: skip
DC = {
    "latent_channels": 8, "attention_head_dim": 8, "encoder_block_types": "ResBlock",
    "decoder_block_types": "ResBlock", "encoder_qkv_multiscales": ((),) * 3,
    "decoder_qkv_multiscales": ((),) * 3, "encoder_block_out_channels": (8, 8, 8),
    "decoder_block_out_channels": (8, 8, 8), "encoder_layers_per_block": (1, 1, 1),
    "decoder_layers_per_block": (1, 1, 1), "scaling_factor": 0.4,
}  # fmt: skip
QWEN = {
    "base_dim": 8, "z_dim": 4, "dim_mult": [1, 2], "num_res_blocks": 1,
    "temperal_downsample": [True], "latents_mean": [0.1, 0.2, 0.3, 0.4],
    "latents_std": [1.0, 2.0, 3.0, 4.0],
}  # fmt: skip
FLUX2 = {**KL, "latent_channels": 4, "sample_size": 32}
RAE = {
    "encoder_hidden_size": 64, "encoder_num_hidden_layers": 1, "encoder_patch_size": 14,
    "encoder_input_size": 56, "patch_size": 8, "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 16, "scaling_factor": 0.5,
}  # fmt: skip
FLUX = {**KL, "latent_channels": 16, "scaling_factor": 0.3611, "shift_factor": 0.1159,
        "use_quant_conv": False, "use_post_quant_conv": False}  # fmt: skip
MEAN, STD = (torch.tensor(QWEN[n]).view(1, 4, 1, 1) for n in ("latents_mean", "latents_std"))


def mode(network, x):
    return network.encode(x).latent_dist.mode()


def patches(network, z):
    std = torch.sqrt(network.bn.running_var + network.config.batch_norm_eps).view(1, -1, 1, 1)
    packed = torch.nn.functional.pixel_unshuffle(z, 2)
    return (packed - network.bn.running_mean.view(1, -1, 1, 1)) / std


CASES = {  # class, config, encode, decode, what a denoiser sees of latents, f and channels there
    "dc": ("AutoencoderDC", DC, lambda n, x: n.encode(x).latent, lambda n, z: n.decode(z).sample,
           lambda n, z: z * 0.4, (4, 8)),
    "flux": ("AutoencoderKL", FLUX, mode, lambda n, z: n.decode(z).sample,
             lambda n, z: (z - 0.1159) * 0.3611, (4, 16)),
    "flux2": ("AutoencoderKLFlux2", FLUX2, mode, lambda n, z: n.decode(z).sample, patches, (8, 16)),
    "qwen": ("AutoencoderKLQwenImage", QWEN, lambda n, x: mode(n, x[:, :, None])[:, :, 0],
             lambda n, z: n.decode(z[:, :, None]).sample[:, :, 0],
             lambda n, z: (z - MEAN) / STD, (2, 4)),
    "rae": ("AutoencoderRAE", RAE, lambda n, x: n.encode((x + 1) / 2).latent,
            lambda n, z: n.decode(z).sample * 2 - 1, lambda n, z: z, (8, 64)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_a_folder_of_todays_classes_is_what_the_class_computes(case, tmp_path):
    name, config, encode, decode, seen, sizes = CASES[case]
    torch.manual_seed(0)
    network = getattr(diffusers, name)(**config).eval()
    if case == "flux2":
        network.bn.running_mean.normal_()
        network.bn.running_var.uniform_(0.5, 2)
    network.save_pretrained(tmp_path / "one")
    model, facts = load(tmp_path / "one"), peek(tmp_path / "one")
    z = encode(network, X)
    assert torch.allclose(model.encode(X), z, atol=1e-5)
    assert torch.allclose(model.decode(z), decode(network, z), atol=1e-5)
    assert (facts.f, facts.sides[0]) == (model.info.f, model.info.f * model.info.latent_shape[1])
    assert (facts.latents.f, facts.latents.channels) == sizes
    assert model_digest(tmp_path / "one") == model.info.digest
    rate = model.rate(X).bits_per_pixel
    assert rate.shape == (2,)
    assert bool((rate > 0).all())

    under = first_stage_of_model(model)
    assert (under.info.f, under.info.latent_shape[0]) == sizes
    assert torch.allclose(under.encode(X), seen(network, z), atol=1e-5)
    assert torch.allclose(under.decode(under.encode(X)), decode(network, z), atol=1e-4)
    save_taken(under, tmp_path / "taken")
    again = load_first_stage(tmp_path / "taken")
    assert torch.allclose(again.encode(X), under.encode(X), atol=1e-5)
    assert (again.info.f, again.info.latent_shape[0]) == sizes

    copied = load(convert(tmp_path / "one", tmp_path / "copy"))
    assert copied.info.latents == model.info.latents
    assert torch.allclose(copied.encode(X), z, atol=1e-5)


def test_drawn_latents_of_a_patched_posterior_take_the_noise_of_their_own_shape(tmp_path):
    torch.manual_seed(0)
    diffusers.AutoencoderKLFlux2(**FLUX2).save_pretrained(tmp_path)
    under = first_stage_of_model(load(tmp_path))
    noise = torch.randn(2, 16, 4, 4)
    drawn, first = under.encode(X, noise=noise), under.encode(X)
    assert not torch.equal(drawn, first)
    assert torch.allclose(under.encode(X, noise=torch.zeros_like(noise)), first)


FRONTS = ("", "module.", "first_stage_model.", "_orig_mod.", "module.first_stage_model.", "vae.")


def wrapped(folder, entry, front):
    """Copy CompVis' vq-f4 with its tensors under an entry and a prefix."""
    shutil.copytree(GOLDEN / "compvis" / "vq-f4", folder)
    file = folder / "model.ckpt"
    tensors = torch.load(file, weights_only=False)["state_dict"]
    named = {front + name: value for name, value in tensors.items()}
    torch.save({entry: named} if entry else named, file)
    return folder


@pytest.mark.parametrize("entry", ["state_dict", "model", ""])
@pytest.mark.parametrize(
    "front",
    ["", "module.", "first_stage_model.", "_orig_mod.", "module.first_stage_model.", "vae."],
)
def test_a_first_stage_of_compvis_loads_from_under_the_names_of_trainers(entry, front, tmp_path):
    found = load(wrapped(tmp_path / "one", entry, front))
    golden = load(GOLDEN / "compvis" / "vq-f4")
    assert torch.equal(found.encode(X), golden.encode(X))


def test_a_first_stage_is_taken_out_of_a_whole_model_where_the_config_is_its_own(tmp_path):
    folder = wrapped(tmp_path / "one", "state_dict", "first_stage_model.")
    tensors = torch.load(folder / "model.ckpt", weights_only=False)["state_dict"]
    tensors |= {"model.diffusion_model.out.0.weight": torch.ones(4), "betas": torch.ones(3)}
    torch.save({"state_dict": tensors}, folder / "model.ckpt")
    found = load(folder)
    assert torch.equal(found.encode(X), load(GOLDEN / "compvis" / "vq-f4").encode(X))
    assert "parts of a whole model (2)" in found.info.left_out


def test_statistics_beside_a_first_stage_normalise_what_a_denoiser_sees(tmp_path):
    folder = tmp_path / "va-vae"
    shutil.copytree(GOLDEN / "compvis" / "kl-f8", folder)
    raw = load(folder)
    channels = raw.info.latent_shape[0]
    mean, std = torch.randn(1, channels, 1, 1), torch.rand(1, channels, 1, 1) + 0.5
    before = model_digest(folder)
    torch.save({"mean": mean, "std": std}, folder / "latents_stats.pt")
    model = load(folder)
    assert model.info.digest == model_digest(folder) != before
    assert torch.equal(model.encode(X), raw.encode(X))
    under = first_stage_of_model(model)
    assert torch.allclose(under.encode(X), (raw.encode(X) - mean) / std)
    torch.save({"mean": mean[:, :1], "std": std}, folder / "latents_stats.pt")
    with pytest.raises(InputError, match="needed are mean and std"):
        load(folder)


def test_factors_of_deep_compression(tmp_path):
    config = {**DC, "encoder_qkv_multiscales": ((),) * 7, "decoder_qkv_multiscales": ((),) * 7}
    for side in ("encoder", "decoder"):
        config |= {f"{side}_block_out_channels": (8,) * 7}
        config |= {f"{side}_layers_per_block": (0, 1, 1, 1, 1, 1, 1)}
    diffusers.AutoencoderDC(**config).save_pretrained(tmp_path)
    model = load(tmp_path)
    assert model.info.f == peek(tmp_path).f == 64
    assert model.encode(torch.zeros(1, 3, 64, 64)).shape == (1, 8, 1, 1)


def test_latents_that_are_no_images_are_refused(tmp_path):
    diffusers.AutoencoderRAE(**RAE, reshape_to_2d=False).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="reshape_to_2d"):
        load(tmp_path)


def test_half_precision_files_are_read_as_float32(tmp_path):
    network = diffusers.AutoencoderDC(**DC).half()
    network.save_pretrained(tmp_path)
    held = load_file(tmp_path / "diffusion_pytorch_model.safetensors")
    assert {t.dtype for t in held.values()} == {torch.float16}
    made = load(tmp_path).encode(X)
    assert made.dtype == torch.float32
    assert np.isfinite(made.numpy()).all()
