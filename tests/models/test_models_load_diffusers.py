"""Diffusers folders: each pipeline's own loop gives what `load(...).sample` gives."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from comparing import apart
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    EulerDiscreteScheduler,
    LDMSuperResolutionPipeline,
    LDMTextToImagePipeline,
    PNDMScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionUpscalePipeline,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import (
    LDMBertConfig,
    LDMBertModel,
)
from safetensors.torch import load_file
from transformers import BertTokenizerFast, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ldmbench import errors
from ldmbench.models import load
from ldmbench.models.convert import convert
from ldmbench.sample import initial_noise, step_noise

GOLDEN = Path(__file__).parents[1] / "golden" / "diffusers" / "ldm"
TOLERANCE = 2e-4
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LATENT = {**BETAS, "clip_sample": False}


@pytest.fixture(autouse=True)
def _one_thread():
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)
    torch.random.set_rng_state(state)


def vae(cls=AutoencoderKL, **changes):
    config = {
        "block_out_channels": (32, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "latent_channels": 4,
        "sample_size": 16,
    }
    return cls(**(config | changes)).eval()


def unet(**changes):
    config = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    return UNet2DModel(**(config | changes)).eval()


def text_unet(**changes):
    config = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
    }
    return UNet2DConditionModel(**(config | changes)).eval()


def clip(folder):
    letters = list("abcdefghijklmnopqrstuvwxyz")
    words = [*letters, *(f"{c}</w>" for c in letters), "re", "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\nr e\n")
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=16)
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=16,
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
        pad_token_id=len(words) - 1,
    )
    return tokenizer, CLIPTextModel(config).eval()


def bert(length=77):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "cat"]
    tokenizer = BertTokenizerFast(vocab={w: i for i, w in enumerate(words)})
    config = LDMBertConfig(
        vocab_size=len(words),
        max_position_embeddings=length,
        encoder_layers=2,
        encoder_ffn_dim=48,
        encoder_attention_heads=2,
        head_dim=8,
        d_model=32,
    )
    return tokenizer, LDMBertModel(config).eval()


def quiet(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def levels(images):
    """Return what numpy_to_pil would keep of float images in [0, 1]."""
    return (np.asarray(images) * 255).round().astype("uint8")


@pytest.mark.golden
def test_ldm_folder_is_the_original():
    arrays, model = np.load(GOLDEN / "golden.npz"), load(GOLDEN)
    want = {k: torch.as_tensor(arrays[k]) for k in arrays.files}
    scale = model.info.scale
    assert scale == 0.18215
    assert model.info.quantize == "round"
    assert apart(model.encode(want["x"]), want["encode"] * scale) < TOLERANCE
    assert apart(model.decode(want["z"] * scale), want["decode"]) < TOLERANCE
    assert apart(model.eps(want["eps_x"], want["eps_t"]), want["eps"]) < TOLERANCE
    latents = model.sample(want["noise0"], steps=5, decode=False)
    assert apart(latents, want["latents_eta0"]) < TOLERANCE
    for key, run in (
        ("eta0", {}),
        ("eta1", {"eta": 1.0, "step_noise": want["step_noises_eta1"]}),
    ):
        ours = model.sample(want["noise0"], steps=5, **run).astype(int)
        theirs = want[f"image_u8_{key}"].numpy().astype(int)
        assert np.abs(ours - theirs).max() <= 1
        assert (ours == theirs).mean() > 0.99


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize(
    ("sampler", "scheduler"),
    [
        ("ddim", DDIMScheduler(**LATENT, set_alpha_to_one=False, steps_offset=1)),
        ("pndm", PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1)),
        ("euler", EulerDiscreteScheduler(**BETAS, prediction_type="v_prediction")),
    ],
)
def test_stable_diffusion(tmp_path, sampler, scheduler, guidance):
    tokenizer, encoder = clip(tmp_path / "clip")
    pipeline = StableDiffusionPipeline(
        vae=vae(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=text_unet(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(tmp_path / "sd")
    model = load(tmp_path / "sd")
    assert model.info.conditioning == "text"
    noise = initial_noise([0, 1], seed=0, shape=(4, 8, 8))
    prompts = ["red", "abc"]
    run = {"num_inference_steps": 6, "guidance_scale": guidance, "height": 16, "width": 16}
    theirs = quiet(pipeline)(prompts, latents=noise.clone(), output_type="latent", **run).images
    ours = {"steps": 6, "guidance": guidance, "sampler": sampler, "cond": prompts}
    assert apart(model.sample(noise, **ours, decode=False), theirs) < TOLERANCE
    pixels = quiet(pipeline)(prompts, latents=noise.clone(), output_type="np", **run).images
    assert np.abs(model.sample(noise, **ours).astype(int) - levels(pixels)).max() <= 1
    if sampler == "ddim" and guidance > 1:
        written = load(convert(model, tmp_path / "out"))
        assert apart(written.sample(noise, **ours, decode=False), theirs) < TOLERANCE
        assert StableDiffusionPipeline.from_pretrained(tmp_path / "out", safety_checker=None)


def test_stable_diffusion_inpainting(tmp_path):
    tokenizer, encoder = clip(tmp_path / "clip")
    pipeline = StableDiffusionInpaintPipeline(
        vae=vae(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=text_unet(in_channels=9),
        scheduler=DDIMScheduler(**LATENT, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(tmp_path / "sd")
    model = load(tmp_path / "sd")
    assert model.info.conditioning == "inpainting"
    z, t = initial_noise([0, 1], seed=0, shape=(4, 8, 8)), torch.tensor([10, 500])
    image = initial_noise([0, 1], seed=1, shape=(3, 16, 16)).tanh()
    mask = (initial_noise([0, 1], seed=2, shape=(1, 16, 16)) > 0).float()
    cond = {"prompt": ["a", "b"], "image": image, "mask": mask}
    with torch.no_grad():
        masked = pipeline.vae.encode(image * (mask < 0.5)).latent_dist.mode()
        masked = masked * pipeline.vae.config.scaling_factor
        small = torch.nn.functional.interpolate(mask, size=(8, 8))
        context = pipeline.encode_prompt(["a", "b"], "cpu", 1, False)[0]
        joined = torch.cat([z, small, masked], 1)
        theirs = pipeline.unet(joined, t, encoder_hidden_states=context).sample
    assert apart(model.eps(z, t, cond), theirs) < TOLERANCE
    assert model.sample(z, steps=2, cond=cond, guidance=2.0).shape == (2, 16, 16, 3)
    with pytest.raises(errors.InputError, match="mapping with prompt, image, mask"):
        model.eps(z, t, ["a", "b"])
    written = load(convert(model, tmp_path / "out"))
    assert apart(written.eps(z, t, cond), theirs) < TOLERANCE


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("quantised", [True, False])
def test_ldm_text_to_image(tmp_path, guidance, quantised):
    tokenizer, encoder = bert()
    first = vae(VQModel, num_vq_embeddings=16, scaling_factor=0.5) if quantised else vae()
    pipeline = LDMTextToImagePipeline(
        vqvae=first,
        bert=encoder,
        tokenizer=tokenizer,
        unet=text_unet(),
        scheduler=DDIMScheduler(**LATENT),
    )
    pipeline.save_pretrained(tmp_path / "ldm")
    model = load(tmp_path / "ldm")
    z, t = initial_noise([0, 1], seed=0, shape=(4, 8, 8)), torch.tensor([10, 500])
    prompts = ["a red cat", "a cat"]
    images = quiet(pipeline)(
        prompts,
        height=64,  # this pipeline divides by 8, whatever the first stage does
        width=64,
        latents=z.clone(),
        num_inference_steps=4,
        guidance_scale=guidance,
        output_type="np",
    ).images
    ours = model.sample(z, steps=4, cond=prompts, guidance=guidance)
    assert np.abs(ours.astype(int) - levels(images)).max() <= 1
    with torch.no_grad():
        ids = tokenizer(prompts, padding="max_length", max_length=77, return_tensors="pt").input_ids
        theirs = pipeline.unet(z, t, encoder_hidden_states=encoder(ids)[0]).sample
    assert apart(model.eps(z, t, prompts), theirs) < TOLERANCE
    written = load(convert(model, tmp_path / "out"))
    assert apart(written.eps(z, t, prompts), theirs) < TOLERANCE
    assert LDMTextToImagePipeline.from_pretrained(tmp_path / "out").bert.config.d_model == 32


def test_ldm_super_resolution(tmp_path):
    pipeline = LDMSuperResolutionPipeline(
        vqvae=vae(VQModel, latent_channels=3, num_vq_embeddings=16),
        unet=unet(in_channels=6, out_channels=3),
        scheduler=DDIMScheduler(**LATENT),
    )
    pipeline.save_pretrained(tmp_path / "sr")
    model = load(tmp_path / "sr")
    assert model.info.conditioning == "image"
    assert model.info.scale == 1.0
    low = initial_noise([0, 1], seed=1, shape=(3, 8, 8)).tanh()
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    images = quiet(pipeline)(
        low, num_inference_steps=4, generator=generator, output_type="np"
    ).images
    ours = model.sample(noise, steps=4, cond=low)
    assert np.abs(ours.astype(int) - levels(images)).max() <= 1
    written = load(convert(model, tmp_path / "out"))
    run = {"steps": 4, "cond": low, "decode": False}
    assert apart(written.sample(noise, **run), model.sample(noise, **run)) < 1e-5
    assert LDMSuperResolutionPipeline.from_pretrained(tmp_path / "out").unet.config.in_channels == 6
    with pytest.raises(errors.InputError, match="low-resolution image must be"):
        model.sample(noise, steps=4, cond=low[:, :, :4])
    with pytest.raises(errors.InputError, match="needs the low-resolution image"):
        model.sample(noise, steps=4)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_stable_diffusion_upscaling(tmp_path, guidance):
    tokenizer, encoder = clip(tmp_path / "clip")
    pipeline = StableDiffusionUpscalePipeline(
        vae=vae(scaling_factor=0.08333),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=text_unet(in_channels=7, num_class_embeds=1000),
        low_res_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        scheduler=DDIMScheduler(**LATENT, prediction_type="v_prediction"),
        max_noise_level=300,
    )
    pipeline.save_pretrained(tmp_path / "up")
    model = load(tmp_path / "up")
    assert model.info.conditioning == "upscaling"
    assert model.info.scale == 0.08333
    noise = initial_noise([0, 1], seed=0, shape=(4, 8, 8))
    low = initial_noise([0, 1], seed=1, shape=(3, 8, 8)).tanh()
    blur = torch.randn(low.shape, generator=torch.Generator().manual_seed(3))
    run = {"num_inference_steps": 4, "guidance_scale": guidance, "output_type": "latent"}
    theirs = quiet(pipeline)(
        ["red", "a"],
        image=low,
        latents=noise.clone(),
        generator=torch.Generator().manual_seed(3),
        **run,
    ).images
    cond = {"prompt": ["red", "a"], "image": low, "noise": blur}
    ours = {"steps": 4, "guidance": guidance, "decode": False}
    assert apart(model.sample(noise, cond=cond, **ours), theirs) < TOLERANCE
    blurred = pipeline.low_res_scheduler.add_noise(low, blur, torch.tensor([20]))
    ready = {"prompt": ["red", "a"], "image": blurred}
    assert apart(model.sample(noise, cond=ready, **ours), theirs) < TOLERANCE
    written = load(convert(model, tmp_path / "out"))
    again = written.sample(noise, cond=cond, **ours)
    assert apart(again, model.sample(noise, cond=cond, **ours)) < 1e-5
    with pytest.raises(errors.InputError, match=r"noise_level must lie in \[0, 300\]"):
        written.eps(noise, torch.tensor([5]), cond | {"noise_level": 301})


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_dit_with_learned_sigma(tmp_path, guidance):
    transformer = DiTTransformer2DModel(
        sample_size=8,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_zero",
        norm_elementwise_affine=False,
    ).eval()
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    pipeline = DiTPipeline(transformer, vae(), DDIMScheduler())
    pipeline.save_pretrained(tmp_path / "dit")
    model = load(tmp_path / "dit")
    assert model.info.null_class == 1000
    assert model.info.latent_shape == (4, 8, 8)
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    labels = [207, 3]
    run = {"num_inference_steps": 4, "guidance_scale": guidance, "output_type": "np"}
    images = quiet(pipeline)(labels, generator=generator, **run).images
    ours = model.sample(noise, steps=4, cond=labels, guidance=guidance)
    assert np.abs(ours.astype(int) - levels(images)).max() <= 1
    t = torch.tensor([10, 500])
    with torch.no_grad():
        theirs = transformer(noise, t, class_labels=torch.tensor(labels)).sample[:, :4]
    assert apart(model.eps(noise, t, torch.tensor(labels)), theirs) < TOLERANCE
    with pytest.raises(errors.InputError, match=r"lie in \[0, 1001\)"):
        model.eps(noise, t, torch.tensor([1, 1001]))
    written = load(convert(model, tmp_path / "out"))
    assert apart(written.eps(noise, t, labels), theirs) < TOLERANCE
    assert DiTPipeline.from_pretrained(tmp_path / "out").transformer.config.out_channels == 8


def test_ddpm_and_ddim_in_pixels(tmp_path):
    network = unet(in_channels=3, out_channels=3)
    DDPMPipeline(network, DDPMScheduler()).save_pretrained(tmp_path / "ddpm")
    model = load(tmp_path / "ddpm")
    assert model.info.f == 1
    assert model.info.conditioning == "none"
    generators = [torch.Generator().manual_seed(s) for s in (1, 2)]
    images = quiet(DDPMPipeline.from_pretrained(tmp_path / "ddpm"))(
        2, generators, num_inference_steps=5, output_type="np"
    ).images
    again = [torch.Generator().manual_seed(s) for s in (1, 2)]
    noise = torch.cat([torch.randn(1, 3, 8, 8, generator=g) for g in again])
    steps = [torch.cat([torch.randn(1, 3, 8, 8, generator=g) for g in again]) for _ in range(4)]
    ours = model.sample(noise, steps=5, sampler="ddpm", step_noise=torch.stack(steps))
    assert np.abs(ours.astype(int) - levels(images)).max() <= 1
    pipeline = quiet(DDIMPipeline(network, DDIMScheduler()))
    pipeline.save_pretrained(tmp_path / "ddim")
    images = pipeline(2, torch.Generator().manual_seed(5), num_inference_steps=5, output_type="np")
    noise = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    ours = load(tmp_path / "ddim").sample(noise, steps=5)
    assert np.abs(ours.astype(int) - levels(images.images)).max() <= 1
    written = load(convert(model, tmp_path / "out"))
    draw = step_noise([1, 2], draws=4, shape=(3, 8, 8))
    runs = [m.sample(noise, steps=5, sampler="ddpm", step_noise=draw) for m in (model, written)]
    assert np.array_equal(*runs)


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_other_predictions_become_noise(tmp_path, prediction):
    network = unet(in_channels=3, out_channels=3)
    scheduler = DDIMScheduler(**LATENT, prediction_type=prediction)
    DDIMPipeline(network, scheduler).save_pretrained(tmp_path / "m")
    model, z = load(tmp_path / "m"), initial_noise([0, 1], seed=0, shape=(3, 8, 8))
    t = torch.tensor([40, 700])
    bar = scheduler.alphas_cumprod[t][:, None, None, None]
    with torch.no_grad():
        out = network(z, t).sample
    if prediction == "v_prediction":
        theirs = bar.sqrt() * out + (1 - bar).sqrt() * z
    else:
        theirs = (z - bar.sqrt() * out) / (1 - bar).sqrt()
    assert apart(model.eps(z, t), theirs) < TOLERANCE


@pytest.mark.parametrize("cls", [DDIMScheduler, DDPMScheduler])
def test_schedules_without_signal_at_their_end(tmp_path, cls):
    network = unet(in_channels=3, out_channels=3)
    scheduler = cls(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    pipeline = DDIMPipeline if cls is DDIMScheduler else DDPMPipeline
    pipeline(network, scheduler).save_pretrained(tmp_path / "m")
    z, t = initial_noise([0, 1], seed=0, shape=(3, 8, 8)), torch.tensor([900, 990])
    bars = scheduler.alphas_cumprod[t][:, None, None, None]
    with torch.no_grad():
        theirs = bars.sqrt() * network(z, t).sample + (1 - bars).sqrt() * z
    assert apart(load(tmp_path / "m").eps(z, t), theirs) < 1e-5


@pytest.mark.parametrize("kind", ["kl", "vq", "tiny"])
def test_bare_first_stages(tmp_path, kind):
    x = initial_noise([0, 1], seed=1, shape=(3, 16, 16)).tanh()
    with torch.no_grad():
        if kind == "tiny":
            network = AutoencoderTiny(
                encoder_block_out_channels=(16, 16),
                decoder_block_out_channels=(16, 16),
                num_encoder_blocks=(1, 1),
                num_decoder_blocks=(1, 1),
            ).eval()
            latents = network.encode(x).latents
        elif kind == "kl":
            network = vae()
            latents = network.encode(x).latent_dist.mode()
        else:
            network = vae(VQModel, num_vq_embeddings=16, vq_embed_dim=3)
            latents = network.encode(x).latents
        image = network.decode(latents).sample
    network.save_pretrained(tmp_path / kind)
    model = load(tmp_path / kind)
    assert model.info.scale == 1.0
    assert model.info.f == 2
    assert apart(model.encode(x), latents) < TOLERANCE
    assert apart(model.decode(latents), image) < TOLERANCE
    with pytest.raises(errors.InputError, match="first stage alone"):
        model.sample(latents, steps=2)
    written = load(convert(model, tmp_path / "out"))
    assert apart(written.encode(x), latents) < 1e-5


def test_old_attention_names_and_bin_files(tmp_path):
    """Folders of 2022 hold query, key, value and proj_attn in pickled files."""
    shutil.copytree(GOLDEN, tmp_path / "old")
    place = tmp_path / "old" / "unet"
    tensors = load_file(place / "diffusion_pytorch_model.safetensors")
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for new, old in names.items():
        tensors = {k.replace(f".{new}.", f".{old}."): v for k, v in tensors.items()}
    assert any(".query." in k for k in tensors)
    torch.save(tensors, place / "diffusion_pytorch_model.bin")
    (place / "diffusion_pytorch_model.safetensors").chmod(0o644)
    (place / "diffusion_pytorch_model.safetensors").unlink()
    want = np.load(GOLDEN / "golden.npz")
    model = load(tmp_path / "old")
    z, t = torch.as_tensor(want["eps_x"]), torch.as_tensor(want["eps_t"])
    assert apart(model.eps(z, t), want["eps"]) < TOLERANCE


def test_sharded_and_half_precision_folders(tmp_path):
    network = unet(in_channels=3, out_channels=3)
    pipeline = DDIMPipeline(network, DDIMScheduler())
    pipeline.save_pretrained(tmp_path / "whole")
    pipeline.save_pretrained(tmp_path / "parts", max_shard_size="100KB")
    DDIMPipeline(unet(in_channels=3, out_channels=3).half(), DDIMScheduler()).save_pretrained(
        tmp_path / "half", variant="fp16"
    )
    unet_parts = tmp_path / "parts" / "unet"
    index = unet_parts / "diffusion_pytorch_model.safetensors.index.json"
    assert index.is_file()
    assert (tmp_path / "half" / "unet" / "diffusion_pytorch_model.fp16.safetensors").is_file()
    z, t = initial_noise([0], seed=0, shape=(3, 8, 8)), torch.tensor([9])
    want = load(tmp_path / "whole").eps(z, t)
    assert apart(load(tmp_path / "parts").eps(z, t), want) < 1e-5
    assert load(tmp_path / "half").eps(z, t).dtype == torch.float32
    network.half().save_pretrained(tmp_path / "both" / "unet", variant="fp16")
    for part in ("model_index.json", "scheduler/scheduler_config.json"):
        (tmp_path / "both" / part).parent.mkdir(exist_ok=True)
        shutil.copy(tmp_path / "whole" / part, tmp_path / "both" / part)
    whole = load_file(tmp_path / "whole" / "unet" / "diffusion_pytorch_model.safetensors")
    torch.save(whole, tmp_path / "both" / "unet" / "diffusion_pytorch_model.bin")
    assert torch.equal(load(tmp_path / "both").eps(z, t), want)  # full precision, though pickled
    shard = sorted(unet_parts.glob("*-00002-of-*.safetensors"))[0]
    shard.unlink()
    with pytest.raises(errors.InputError, match="00002-of"):
        load(tmp_path / "parts")
    index.write_text(json.dumps({"weight_map": {"conv_in.weight": "../../elsewhere.safetensors"}}))
    with pytest.raises(errors.InputError, match="outside its folder"):
        load(tmp_path / "parts")
    index.write_text("{}")
    with pytest.raises(errors.InputError, match="no index of shards"):
        load(tmp_path / "parts")


def broken(tmp_path, part, **changes):
    folder = tmp_path / "broken"
    shutil.copytree(GOLDEN, folder)
    place = folder / part
    place.chmod(0o644)
    content = json.loads(place.read_text())
    place.write_text(json.dumps(content | changes))
    return folder


@pytest.mark.parametrize(
    ("part", "changes", "said"),
    [
        ("scheduler/scheduler_config.json", {"_class_name": "EDMEulerScheduler"},
         "no scheduler of a diffusion in betas"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "sigmoid"}, "'sigmoid' is not"),
        ("scheduler/scheduler_config.json", {"prediction_type": "flow"}, "config.json: prediction"),
        ("scheduler/scheduler_config.json", {"timestep_spacing": "odd"}, "timestep rule 'odd'"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 0}, "a whole number from 1"),
        ("scheduler/scheduler_config.json", {"beta_end": 2.0}, r"betas in \[0, 1\]"),
        ("model_index.json", {"_class_name": "LDMPipelin"}, "did you mean 'LDMPipeline'"),
        ("unet/config.json", {"_class_name": "SomebodysNet"}, "'SomebodysNet', which is not"),
        ("unet/config.json", {"block_out_channels": [8, 32]}, "of another shape"),
        ("unet/config.json", {"layers_per_block": 2}, "missing"),
        ("unet/config.json", {"sample_size": "big"}, "wrong kind"),
        ("unet/config.json", {"class_embed_type": "identity"}, "does not describe|not given"),
        ("model_index.json", {"_class_name": "StableDiffusionXLPipeline"}, "without its component"),
        ("vqvae/config.json", {"mid_block_add_attention": False}, "not asked for"),
        ("unet/config.json", {"down_block_types": ["Down", "Up"]}, "down_block_types has 'Down'"),
    ],
)  # fmt: skip
def test_broken_folders_are_told_apart(tmp_path, part, changes, said):
    with pytest.raises(errors.InputError, match=said):
        load(broken(tmp_path, part, **changes))


def test_incomplete_folders_say_what_is_missing(tmp_path):
    folder = broken(tmp_path, "model_index.json")
    (folder / "vqvae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(errors.InputError, match="holds no weights"):
        load(folder)
    (folder / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(errors.InputError, match=r"scheduler_config\.json is missing"):
        load(folder)
