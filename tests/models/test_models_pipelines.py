"""Pipelines of diffusers: what their own calls make, reproduced through `load`."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    ChromaPipeline,
    ChromaTransformer2DModel,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Gemma2Config,
    Gemma2Model,
    T5EncoderModel,
    T5Tokenizer,
)

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.convert import convert
from ldmbench.models.flops import count_flops
from ldmbench.models.model import to_uint8
from ldmbench.models.pipelines.subject import Piped
from ldmbench.sample import initial_noise, step_seeds
from ldmbench.schema.params import Sampling
from ldmbench.sources.models.peek import model_digest, peek

GOLDEN = Path(__file__).parents[1] / "golden" / "today"
TOLERANCE = 2e-4
LATE = 5e-5


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def golden():
    kept = {}

    def of(case):
        if case not in kept:
            place = GOLDEN / case
            prompts = json.loads((place / "prompts.json").read_text("utf-8"))
            kept[case] = load(place), np.load(place / "golden.npz"), prompts
        return kept[case]

    return of


def apart(ours, theirs):
    theirs = torch.as_tensor(theirs)
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.golden
@pytest.mark.parametrize(("case", "tolerance"), [("pipe-sd3", TOLERANCE), ("pipe-pixart", LATE)])
def test_samples_of_given_latents(golden, case, tolerance):
    model, arrays, prompts = golden(case)
    how = {"steps": int(arrays["steps"]), "cond": prompts, "guidance": float(arrays["guidance"])}
    noise = torch.from_numpy(arrays["noise"])
    latents = model.sample(noise, decode=False, **how)
    assert apart(latents, arrays["latent_out"]) < tolerance
    made = model.sample(noise, **how)
    off = np.abs(made.astype(int) - arrays["image_u8"].astype(int))
    assert off.max() <= 1
    assert (off == 0).mean() >= 0.98
    if "guidance2" in arrays.files:
        how["guidance"] = float(arrays["guidance2"])
        latents = model.sample(noise, decode=False, **how)
        assert apart(latents, arrays["latent_out_g2"]) < tolerance


@pytest.mark.golden
def test_predictions_of_the_networks(golden):
    model, arrays, prompts = golden("pipe-sd3")
    noise = torch.from_numpy(arrays["noise"])
    for t, velocity in zip(arrays["vel_t"], arrays["velocity"], strict=True):
        assert apart(model.velocity(noise, torch.tensor(float(t)), prompts), velocity) < TOLERANCE
    model, arrays, prompts = golden("pipe-pixart")
    noise = torch.from_numpy(arrays["noise"])
    for t, eps in zip(arrays["eps_t"], arrays["eps"], strict=True):
        assert apart(model.eps(noise, torch.tensor(int(t)), prompts), eps) < TOLERANCE


@pytest.mark.golden
@pytest.mark.parametrize("case", ["pipe-sd3", "pipe-pixart"])
def test_latents_as_the_pipeline_scales_them(golden, case):
    model, arrays, _ = golden(case)
    assert apart(model.encode(torch.from_numpy(arrays["enc_x"])), arrays["encode"]) < TOLERANCE
    assert apart(model.decode(torch.from_numpy(arrays["z"])), arrays["decode"]) < TOLERANCE


# ---------------------------------------------------------------- tiny pipelines of diffusers

TEXTS = GOLDEN / "pipe-sd3"
PROMPTS = ["a red fox in the snow", "Two boats at dawn, oil painting"]


def t5():
    return (
        T5Tokenizer.from_pretrained(TEXTS / "tokenizer_3"),
        T5EncoderModel.from_pretrained(TEXTS / "text_encoder_3"),
    )


def clip(cls, **changes):
    config = CLIPTextConfig.from_pretrained(TEXTS / "text_encoder")
    config = CLIPTextConfig(**(config.to_dict() | changes))
    return CLIPTokenizer.from_pretrained(TEXTS / "tokenizer"), cls(config)


def vae(**changes):
    config = {
        "block_out_channels": (8, 8),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "latent_channels": 4,
        "norm_num_groups": 4,
    }
    return AutoencoderKL(**(config | changes))


def sdxl():
    first, second = clip(CLIPTextModel), clip(CLIPTextModelWithProjection, projection_dim=24)
    width = first[1].config.hidden_size + second[1].config.hidden_size
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=24 + 6 * 8,
        cross_attention_dim=width,
    )
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        timestep_spacing="leading",
    )
    return StableDiffusionXLPipeline(
        vae=vae(scaling_factor=0.13025),
        text_encoder=first[1],
        text_encoder_2=second[1],
        tokenizer=first[0],
        tokenizer_2=second[0],
        unet=unet,
        scheduler=scheduler,
        add_watermarker=False,
    )


def flux(guided):
    tokenizer, encoder = clip(CLIPTextModel)
    second = t5()
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=second[1].config.d_model,
        pooled_projection_dim=encoder.config.hidden_size,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=guided,
    )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=guided),
        vae=vae(scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False,
                use_post_quant_conv=False),
        text_encoder=encoder,
        tokenizer=tokenizer,
        text_encoder_2=second[1],
        tokenizer_2=second[0],
        transformer=transformer,
    )  # fmt: skip


def sana():
    tokenizer, _ = t5()
    config = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        pad_token_id=0,
    )
    transformer = SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=8,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=16,
        sample_size=8,
    )
    deep = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=8,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=[1, 1],
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    )
    scheduler = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return SanaPipeline(
        tokenizer=tokenizer,
        text_encoder=Gemma2Model(config),
        vae=deep,
        transformer=transformer,
        scheduler=scheduler,
    )


MADE = {"sdxl": sdxl, "flux-dev": lambda: flux(True), "flux-schnell": lambda: flux(False),
        "sana": sana}  # fmt: skip

FAMILIES = sorted(MADE)
SIDES = {"sana": 32}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    kept = {}

    def of(name):
        if name not in kept:
            folder = tmp_path_factory.mktemp(name)
            with torch.random.fork_rng():
                torch.manual_seed(0)
                MADE[name]().save_pretrained(folder)
            kept[name] = folder, load(folder)
        return kept[name]

    return of


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_samples_are_those_of_the_pipeline_s_own_call(made, name, guidance):
    folder, model = made(name)
    pipe = DiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    side = SIDES.get(name, 16)
    noise = initial_noise([0, 1], seed=3, shape=(4, side // 2, side // 2))
    more = {"use_resolution_binning": False} if name == "sana" else {}
    latents = pipe._pack_latents(noise, *noise.shape) if name.startswith("flux") else noise
    told = {"prompt": PROMPTS, "num_inference_steps": 3, "guidance_scale": guidance}
    images = pipe(**told, latents=latents, height=side, width=side, output_type="np", **more).images
    ours = model.sample(noise, steps=3, cond=PROMPTS, guidance=guidance)
    assert ours.shape == (2, side, side, 3)
    assert np.abs(ours.astype(int) - (255 * images).round().astype(int)).max() <= 1
    z = model.sample(noise, steps=3, cond=PROMPTS, guidance=guidance, decode=False)
    assert z.shape == noise.shape
    assert np.array_equal(ours, to_uint8(model.decode(z)))


@pytest.mark.parametrize("name", FAMILIES)
def test_one_prediction_is_what_the_call_asked_its_network(made, name):
    _, model = made(name)
    asked = []
    network = model.networks()["denoiser"]
    hook = network.register_forward_hook(
        lambda _, args, told, out: asked.append((args, told, out[0])), with_kwargs=True
    )
    noise = initial_noise([0, 1], seed=4, shape=(4, *2 * (SIDES.get(name, 16) // 2,)))
    model.sample(noise, steps=2, cond=PROMPTS, guidance=1.0, decode=False)
    hook.remove()
    args, told, out = asked[0]
    t = told["timestep"] if "timestep" in told else args[1]
    z = told.get("hidden_states", args[0] if args else None)
    if name.startswith("flux"):
        out, t = model.family.unpacked(model.pipe, out, noise), 1000 * t
        ours = model.velocity(noise, t, PROMPTS, guidance=1.0)
    else:
        ours = (model.eps if name == "sdxl" else model.velocity)(z, t, PROMPTS)
    assert apart(ours, out) < 1e-5


@pytest.mark.parametrize("name", FAMILIES)
def test_encoded_images_are_the_latents_that_the_pipeline_decodes(made, name):
    _, model = made(name)
    vae, x = model.pipe.vae, initial_noise([0, 1], seed=5, shape=(3, 16, 24)).tanh()
    with torch.no_grad():
        found = vae.encode(x)
        raw = found.latent if name == "sana" else found.latent_dist.mode()
    shift = getattr(vae.config, "shift_factor", None) or 0.0
    assert apart(model.encode(x), (raw - shift) * vae.config.scaling_factor) < 1e-6
    with torch.no_grad():
        assert apart(model.decode(model.encode(x)), vae.decode(raw).sample) < 1e-4


def test_a_pipeline_that_predicts_noise_runs_our_samplers(made):
    _, model = made("sdxl")
    noise = initial_noise([0, 1], seed=6, shape=(4, 8, 8))
    how = {"steps": 4, "cond": PROMPTS, "guidance": 3.0, "decode": False}
    own, named = model.sample(noise, **how), model.sample(noise, sampler="euler", **how)
    assert torch.equal(own, named)
    assert apart(model.sample(noise, sampler="heun", **how), own) < 1.0
    with pytest.raises(InputError, match="sampled by its own call"):
        made("sana")[1].sample(noise, sampler="ddim", **how)
    with pytest.raises(InputError, match="list of 2 texts"):
        model.sample(noise, **(how | {"cond": ["one"]}))


# ---------------------------------------------------------------- what is refused


@pytest.fixture
def copied(tmp_path):
    place = tmp_path / "sd3"
    shutil.copytree(GOLDEN / "pipe-sd3", place)

    def with_index(**changes):
        index = json.loads((place / "model_index.json").read_text("utf-8")) | changes
        (place / "model_index.json").write_text(json.dumps(index), "utf-8")
        return place

    return with_index


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_class_name": ["pipeline", "MyPipeline"]}, "a class of its own code"),
        ({"_class_name": "StableDifusion3Pipeline"}, "did you mean"),
        ({"_class_name": "WanPipeline"}, "does not make images of prompts"),
        ({"_class_name": "StableDiffusion3Img2ImgPipeline"}, "does not make images of prompts"),
        ({"transformer": ["mine", "MyTransformer"]}, "code of a folder is not run"),
        ({"transformer": ["diffusers", "MyTransformer"]}, "no class of the installed"),
        ({"text_encoder_2": [None, None]}, "without its component text_encoder_2"),
    ],
)
def test_code_and_gaps_are_refused_before_anything_loads(copied, changes, said):
    place = copied(**changes)
    (place / "pipeline.py").write_text("raise SystemExit('it was run')", "utf-8")
    (place / "transformer" / "mine.py").write_text("raise SystemExit('it was run')", "utf-8")
    for read in (peek, load):
        with pytest.raises(InputError, match=said):
            read(place)


def test_a_missing_folder_and_pickled_weights_are_refused(copied):
    place = copied()
    shutil.rmtree(place / "tokenizer_2")
    with pytest.raises(InputError, match="no files for its component tokenizer_2"):
        peek(place)
    place = copied(tokenizer_2=["transformers", "CLIPTokenizer"])
    shutil.copytree(place / "tokenizer", place / "tokenizer_2")
    weights = place / "vae" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(InputError, match=r"loaded from \.safetensors alone"):
        load(place)


def test_plan_and_loader_agree():
    for case in ("pipe-sd3", "pipe-pixart"):
        model, facts = load(GOLDEN / case), peek(GOLDEN / case)
        assert model.info.digest == model_digest(GOLDEN / case)
        assert facts.sides == tuple(model.info.f * side for side in model.info.latent_shape[1:])
        for name in ("source", "f", "weights", "quantize", "scale", "regularization"):
            assert getattr(facts, name) == getattr(model.info, name), (case, name)


def test_a_pipeline_is_not_converted(golden, tmp_path):
    with pytest.raises(InputError, match="a folder of diffusers already"):
        convert(golden("pipe-sd3")[0], tmp_path / "out")


# ---------------------------------------------------------------- classes that are called alone


def chroma():
    tokenizer, encoder = t5()
    transformer = ChromaTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=encoder.config.d_model,
        axes_dims_rope=(4, 4, 8),
        approximator_num_channels=16,
        approximator_hidden_dim=16,
        approximator_layers=1,
    )
    return ChromaPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=transformer,
    )


MADE["chroma"] = chroma
WAY = {"sampler": "own", "steps": 2, "eta": 0.0, "timesteps": None, "precision": "float32"}


def test_a_class_without_a_family_draws_by_its_own_generators(made):
    folder, model = made("chroma")
    assert peek(folder).own
    subject = Piped(model, side=16, call={"max_sequence_length": 16})
    params = Sampling(guidance=3.0, **WAY)

    def drawn(indices):
        noise, seeds = torch.zeros(len(indices), *subject.shape), step_seeds(indices, seed=0)
        prompts = [PROMPTS[i] for i in indices]
        return subject.draw(noise, condition=prompts, params=params, seeds=seeds)

    both = drawn([0, 1])
    assert both.shape == (2, 16, 16, 3)
    assert np.array_equal(both, drawn([0, 1]))
    assert np.abs(both[::-1].astype(int) - drawn([1, 0]).astype(int)).max() <= 1
    assert not np.array_equal(both[0], both[1])
    for ask in (lambda: model.encode(torch.zeros(1, 3, 16, 16)),
                lambda: model.velocity(torch.zeros(1, 1, 8, 8), 0.5, ["a"]),
                lambda: model.sample(torch.zeros(1, 1, 8, 8), steps=2, cond=["a"])):  # fmt: skip
        with pytest.raises(InputError, match="sampled by its own call alone"):
            ask()


def test_the_work_of_a_call_adds_up(made):
    for name, guidance, evaluations, guided in (
        ("chroma", 3.0, 4, 0),
        ("sdxl", 3.0, 2, 2),
        ("sdxl", 1.0, 2, 0),
        ("flux-dev", 3.0, 2, 0),
    ):
        subject = Piped(made(name)[1], side=16, call={})
        params = Sampling(guidance=guidance, **WAY)
        work = subject.work(params)
        assert (work.evaluations, work.guided) == (evaluations, guided), name
        twice = 1 if guidance == 1 else 2
        counted = (evaluations + guided) * work.denoiser + twice * work.condition + work.decoder
        noise = torch.zeros(1, *subject.shape)
        whole = count_flops(
            lambda s=subject, n=noise, p=params: s.draw(n, condition=[""], params=p, seeds=[0])
        )
        assert abs(counted - whole) <= 2, name
        seconds = subject.parts(
            lambda s=subject, n=noise, p=params: s.draw(n, condition=[""], params=p, seeds=[0])
        )
        assert min(seconds) > 0
