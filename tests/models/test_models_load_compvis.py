"""CompVis checkpoints: golden numbers, and every family of the zoo against its own definition."""

import dataclasses
from pathlib import Path

import compvis_reference as ref
import compvis_zoo as zoo
import numpy as np
import pytest
import torch
from comparing import apart, one_thread  # noqa: F401

from ldmbench import errors
from ldmbench.models import load
from ldmbench.models.convert import convert
from ldmbench.models.model import to_uint8
from ldmbench.sample import initial_noise, step_noise

GOLDEN = Path(__file__).parents[1] / "golden" / "compvis"
TOLERANCE = 2e-4


def golden(case):
    arrays = np.load(GOLDEN / case / "golden.npz")
    return lambda key: torch.as_tensor(arrays[key])


@pytest.mark.golden
@pytest.mark.parametrize(("case", "key"), [("vq-f4", "encode"), ("kl-f8", "encode_mode")])
def test_first_stages_are_the_original(case, key):
    model, want = load(GOLDEN / case / "model.ckpt"), golden(case)
    assert apart(model.encode(want("x")), want(key)) < TOLERANCE
    assert apart(model.decode(want("z")), want("decode")) < TOLERANCE
    assert model.info.scale == 1.0
    assert model.info.f == int(case[-1])
    assert model.info.conditioning == "none"
    assert model.info.quantize == "truncate"
    assert model.info.schedule is None


@pytest.mark.golden
def test_first_stages_take_any_shape():
    model, want = load(GOLDEN / "vq-f4"), golden("vq-f4")
    assert apart(model.encode(want("nonsquare_x")), want("nonsquare_encode")) < TOLERANCE


@pytest.mark.golden
@pytest.mark.parametrize(("ema", "suffix"), [(True, ""), (False, "_raw")])
def test_ldm_is_the_original(ema, suffix):
    model, want = (
        load(GOLDEN / "ldm-uncond-vqf4" / "model.ckpt", ema=ema),
        golden("ldm-uncond-vqf4"),
    )
    x_T = want("x_T")
    assert model.info.weights == ("ema" if ema else "raw")
    assert apart(model.eps(want("eps_x"), want("eps_t")), want("eps" + suffix)) < TOLERANCE
    assert apart(model.encode(want("fs_x")), want("latent_of_x")) < TOLERANCE
    assert apart(model.decode(want("fs_z")), want("fs_decode")) < TOLERANCE
    latents = model.sample(x_T, steps=5, decode=False)
    assert apart(latents, want("ddim5" + suffix)) < TOLERANCE
    assert apart(model.sample(x_T, steps=7, decode=False), want("ddim7" + suffix)) < TOLERANCE
    noises = want("eta1_noises")
    stochastic = model.sample(x_T, steps=5, eta=1.0, step_noise=noises, decode=False)
    assert apart(stochastic, want("ddim5_eta1" + suffix)) < TOLERANCE


@pytest.mark.golden
def test_averages_differ_from_raw_weights():
    want = golden("ldm-uncond-vqf4")
    assert apart(want("eps"), want("eps_raw")) > 10 * TOLERANCE


@pytest.mark.golden
@pytest.mark.parametrize("suffix", ["", "_raw"])
def test_images_are_the_originals_bytes(suffix):
    model = load(GOLDEN / "ldm-uncond-vqf4", ema=not suffix)
    want = golden("ldm-uncond-vqf4")
    theirs = want("ddim5_image_u8" + suffix).numpy().astype(int)
    ours = to_uint8(model.decode(want("ddim5" + suffix)), "truncate")
    assert ours.dtype == np.uint8
    assert np.abs(ours - theirs).max() <= 1
    assert (ours == theirs).mean() >= 0.9
    end_to_end = model.sample(want("x_T"), steps=5)
    assert (np.abs(end_to_end.astype(int) - theirs) <= 1).mean() > 0.99
    rounded = model.sample(want("x_T"), steps=5, quantize="round")
    assert (rounded.astype(int) >= end_to_end).all()
    assert (rounded != end_to_end).any()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return (folder, weights) of a family, written once."""
    kept = {}

    def get(name):
        if name not in kept:
            folder = tmp_path_factory.mktemp(name)
            kept[name] = folder, zoo.make(name, folder)
        return kept[name]

    return get


CASES = [(name, True) for name in zoo.FAMILIES] + [("churches", False), ("text", False)]


@pytest.mark.parametrize(("name", "ema"), CASES)
def test_every_family_means_what_its_config_says(made, name, ema):
    folder, weights = made(name)
    family = zoo.FAMILIES[name]
    w = zoo.averaged(weights) if ema else weights
    model = load(folder / "model.ckpt", ema=ema)
    channels = family.stage["params"]["embed_dim"]
    z = initial_noise([0, 1], seed=0, shape=(channels, 8, 8))
    t = torch.tensor([3, 700])
    cond, inputs = zoo.condition(w, name, family, z)
    with torch.no_grad():
        theirs = zoo.eps_of(w, family, z, t, inputs)
    if family.params.get("parameterization") == "x0":
        bar = torch.cumprod(1 - w["betas"].double(), 0)[t][:, None, None, None]
        theirs = ((z - bar.sqrt() * theirs) / (1 - bar).sqrt()).float()
    assert apart(model.eps(z, t, cond), theirs) < TOLERANCE
    x = initial_noise([0, 1], seed=1, shape=(3, 32, 32)).tanh()
    params = family.stage["params"]
    with torch.no_grad():
        encoded = ref.stage_encode(w, "first_stage_model.", x, params) * family.scale
        decoded = ref.stage_decode(w, "first_stage_model.", z / family.scale, params)
    assert apart(model.encode(x), encoded) < TOLERANCE
    assert apart(model.decode(z), decoded) < TOLERANCE
    assert model.info.scale == pytest.approx(family.scale)
    assert model.info.latent_shape == (channels, 8, 8)
    assert model.info.f == 4
    assert model.info.weights == ("ema" if ema and family.ema else "raw")


@pytest.mark.parametrize("name", ["churches", "classes", "text", "super-resolution", "inpainting"])
def test_families_sample_as_the_original(made, name):
    folder, weights = made(name)
    family, w = zoo.FAMILIES[name], zoo.averaged(weights)
    model = load(folder)
    channels = family.stage["params"]["embed_dim"]
    z = initial_noise([0, 1], seed=0, shape=(channels, 8, 8))
    cond, inputs = zoo.condition(w, name, family, z)

    @torch.no_grad()
    def eps(z, t):
        return zoo.eps_of(w, family, z, t, inputs)

    theirs = ref.ddim(eps, z, steps=7, start=zoo.START, end=zoo.END)
    assert apart(model.sample(z, steps=7, cond=cond, decode=False), theirs) < TOLERANCE
    image = model.sample(z, steps=2, cond=cond)
    assert image.shape == (2, 32, 32, 3)


def test_class_guidance_uses_the_null_class(made):
    folder, w = made("classes")
    family, model = zoo.FAMILIES["classes"], load(folder)
    assert model.info.null_class == 10
    assert model.info.conditioning == "class"
    z = initial_noise([0, 1], seed=0, shape=(3, 8, 8))
    labels, inputs = zoo.condition(w, "classes", family, z)
    table = w["cond_stage_model.embedding.weight"]
    empty = {"context": table[[10, 10]][:, None]}

    @torch.no_grad()
    def eps(z, t):
        with_class = zoo.eps_of(w, family, z, t, inputs)
        without = zoo.eps_of(w, family, z, t, empty)
        return without + 3.0 * (with_class - without)

    theirs = ref.ddim(eps, z, steps=4, start=zoo.START, end=zoo.END)
    run = {"steps": 4, "guidance": 3.0, "decode": False}
    assert apart(model.sample(z, cond=labels, **run), theirs) < TOLERANCE
    told = model.sample(z, cond=labels.tolist(), uncond=[10, 10], **run)
    assert apart(told, theirs) < TOLERANCE


def test_a_table_of_1000_has_no_null_class(made):
    model = load(made("classes-f8")[0])
    z = initial_noise([0], seed=0, shape=(4, 8, 8))
    assert model.info.null_class is None
    with pytest.raises(errors.InputError, match="without a null class"):
        model.sample(z, steps=2, cond=[1], guidance=2.0)
    out = model.sample(z, steps=2, cond=[1], uncond=[7], guidance=2.0, decode=False)
    assert out.shape == z.shape


def test_text_goes_through_the_tokenizer(made):
    folder, weights = made("text")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "cat", "##s", "dog"]
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(words))
    family, w = zoo.FAMILIES["text"], zoo.averaged(weights)
    ids = torch.tensor([[2, 5, 6, 7, 8, 3] + [0] * 6, [2, 3] + [0] * 10])
    z, t = initial_noise([0, 1], seed=0, shape=(4, 8, 8)), torch.tensor([5, 500])
    with torch.no_grad():
        context = ref.bert(w, "cond_stage_model.", ids, family.cond["params"])
        theirs = zoo.eps_of(w, family, z, t, {"context": context})
    for model in (load(folder), load(folder, tokenizer=vocabulary)):
        assert apart(model.eps(z, t, ["A red cats", ""]), theirs) < TOLERANCE
        assert apart(model.eps(z, t, ids), theirs) < TOLERANCE
        assert model.info.conditioning == "text"
    vocabulary.unlink()
    with pytest.raises(errors.InputError, match="bert-base-uncased"):
        load(folder).eps(z, t, ["a cat", "a dog"])
    guided = load(folder, tokenizer=lambda texts, **_: {"input_ids": ids[[1] * len(texts)]})
    out = guided.sample(z, steps=2, cond=["x", "y"], guidance=2.0, decode=False)
    same = guided.sample(z, steps=2, cond=["x", "y"], decode=False)
    assert apart(out, same) < TOLERANCE


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_conversion_round_trips(made, name, tmp_path):
    folder, weights = made(name)
    family, w = zoo.FAMILIES[name], zoo.averaged(weights)
    model = load(folder)
    written = load(convert(model, tmp_path / "out"))
    z = initial_noise([0, 1], seed=0, shape=(family.stage["params"]["embed_dim"], 8, 8))
    cond, _ = zoo.condition(w, name, family, z)
    x = initial_noise([0, 1], seed=1, shape=(3, 32, 32)).tanh()
    assert apart(written.encode(x), model.encode(x)) < 1e-5
    assert apart(written.decode(z), model.decode(z)) < 1e-5
    noise = step_noise([1, 2], draws=8, shape=z.shape[1:])
    for run in (
        {"steps": 3, "timesteps": "linspace"},
        {"eta": 1.0, "steps": 7, "step_noise": noise},
    ):
        ours = model.sample(z, cond=cond, decode=False, **run)
        assert apart(written.sample(z, cond=cond, decode=False, **run), ours) < 1e-5
    info, back = model.info, written.info
    for name in ("f", "latent_shape", "conditioning", "scale", "quantize", "timesteps", "weights"):
        assert getattr(info, name) == getattr(back, name), name
    assert info.null_class == back.null_class
    assert info.regularization == back.regularization
    with pytest.raises(errors.InputError, match="not empty"):
        convert(model, tmp_path / "out")


def test_converted_folders_are_diffusers_own(made, tmp_path):
    """Where diffusers has a pipeline for a model, it loads what we write."""
    from diffusers import LDMSuperResolutionPipeline
    from diffusers.pipelines.deprecated import LDMPipeline

    folder = convert(made("mixed")[0], tmp_path / "mixed")
    pipeline = LDMPipeline.from_pretrained(folder)
    model = load(folder)
    z = initial_noise([0], seed=0, shape=(3, 8, 8))
    with torch.no_grad():
        theirs = pipeline.unet(z, torch.tensor([5])).sample
    assert apart(model.eps(z, torch.tensor([5])), theirs) < 1e-5
    folder = convert(made("super-resolution")[0], tmp_path / "sr")
    assert LDMSuperResolutionPipeline.from_pretrained(folder).unet.config.in_channels == 6


def adm(tmp_path, **changes):
    flags = {
        "image_size": 16,
        "num_channels": 32,
        "num_res_blocks": 1,
        "channel_mult": "1,2",
        "attention_resolutions": "16,8",
        "num_head_channels": 16,
        "num_heads": 4,
        "class_cond": True,
        "num_classes": 5,
        "learn_sigma": True,
        "use_scale_shift_norm": True,
        "resblock_updown": True,
        "noise_schedule": "linear",
    } | changes
    mult = [float(m) for m in flags["channel_mult"].split(",")]
    p = zoo.unet(
        in_channels=3,
        out_channels=6 if flags["learn_sigma"] else 3,
        model_channels=flags["num_channels"],
        channel_mult=mult,
        first=mult[0],
        num_heads_upsample=flags.get("num_heads_upsample", flags["num_heads"]),
        conv_resample=flags.get("conv_resample", True),
        attention_resolutions=[1, 2],
        num_heads=flags["num_heads"],
        num_head_channels=flags["num_head_channels"],
        num_classes=5 if flags["class_cond"] else None,
        use_scale_shift_norm=flags["use_scale_shift_norm"],
        resblock_updown=flags["resblock_updown"],
        use_new_attention_order=flags.get("use_new_attention_order", False),
    )
    w = ref.Weights()
    z = torch.zeros(1, 3, 16, 16)
    with torch.no_grad():
        ref.unet(w, "", z, torch.ones(1).long(), p, labels=torch.tensor([0]))
    torch.save(dict(w), tmp_path / "adm.pt")
    return load(tmp_path / "adm.pt", config=flags), w, p


def test_flags_in_words_and_timesteps_of_4000(tmp_path):
    """improved-diffusion's networks see timesteps as of 1000, whatever their number."""
    words = {"resblock_updown": "no", "learn_sigma": "True", "class_cond": "off"}
    _, w, p = adm(tmp_path, resblock_updown=False, class_cond=False)
    flags = {"image_size": 16, "num_channels": 32, "num_res_blocks": 1, "sigma_small": "False",
             "attention_resolutions": "16,8", "diffusion_steps": 4000, "noise_schedule": "cosine",
             "predict_xstart": "no"}  # fmt: skip
    guided = {"channel_mult": "1,2", "num_head_channels": "16", "rescale_timesteps": "yes"}
    z, t = initial_noise([0], seed=0, shape=(3, 16, 16)), torch.tensor([3001])
    model = load(tmp_path / "adm.pt", config=flags | guided | words)
    with torch.no_grad():
        want = ref.unet(w, "", z, t / 4, p)[:, :3]
    assert model.info.schedule.prediction == "epsilon"
    assert apart(model.eps(z, t), want) < TOLERANCE
    written = load(convert(model, tmp_path / "out"))
    assert written.info.time_scale == 0.25
    assert apart(written.eps(z, t), want) < TOLERANCE


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"class_cond": False, "learn_sigma": False, "resblock_updown": False},
        {"use_new_attention_order": True, "noise_schedule": "cosine"},
        {"num_head_channels": -1, "num_heads": 4, "channel_mult": "3,4"},  # heads of 24 and 32
        {"num_head_channels": -1, "num_heads": 2, "num_heads_upsample": 4},
        {"channel_mult": "0.5,1", "num_channels": 64},
        {"conv_resample": False, "resblock_updown": False, "sigma_small": True},
    ],
)
def test_guided_diffusion_is_a_pixel_baseline(tmp_path, changes):
    model, w, p = adm(tmp_path, **changes)
    z, t = initial_noise([0, 1], seed=0, shape=(3, 16, 16)), torch.tensor([4, 900])
    labels = torch.tensor([1, 4])
    cond = labels if p["num_classes"] else None
    with torch.no_grad():
        theirs = ref.unet(w, "", z, t, p, labels=labels)[:, :3]
    assert apart(model.eps(z, t, cond), theirs) < TOLERANCE
    assert model.info.f == 1
    assert torch.equal(model.decode(z), z)
    image = model.sample(z, steps=4, cond=cond)
    assert image.shape == (2, 16, 16, 3)
    chain = model.sample(z, steps=4, cond=cond, sampler="ddpm", seeds=[1, 2], decode=False)
    assert torch.isfinite(chain).all()
    written = load(convert(model, tmp_path / "out"))
    assert apart(written.eps(z, t, cond), model.eps(z, t, cond)) < 1e-5
    for run in ({}, {"sampler": "ddpm", "seeds": [1, 2]}):
        ours = model.sample(z, steps=4, cond=cond, decode=False, **run)
        assert apart(written.sample(z, steps=4, cond=cond, decode=False, **run), ours) < 1e-5


def test_guided_diffusion_takes_the_noise_from_the_clipped_image(tmp_path):
    """Its ddim_sample clips the clean image and derives the noise anew from it."""
    model, w, p = adm(tmp_path, learn_sigma=False, class_cond=False)
    z = initial_noise([0, 1], seed=0, shape=(3, 16, 16))
    bars = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    grid, x = [0, 250, 500, 750], z
    for i in (3, 2, 1, 0):
        now, before = bars[grid[i]], bars[grid[i - 1]] if i else torch.tensor(1.0)
        with torch.no_grad():
            eps = ref.unet(w, "", x, torch.full((2,), grid[i]), p)
        clean = ((x - (1 - now).sqrt() * eps) / now.sqrt()).clamp(-1, 1)
        eps = (x - now.sqrt() * clean) / (1 - now).sqrt()
        x = (before.sqrt() * clean + (1 - before).sqrt() * eps).float()
    assert apart(model.sample(z, steps=4, decode=False), x) < TOLERANCE


@pytest.mark.parametrize("joined", [0, 5])
def test_stable_diffusion_checkpoints_hold_clip(tmp_path, joined):
    """Joined are the mask and the masked latent of its inpainting checkpoints."""
    from transformers import CLIPTextConfig, CLIPTextModel

    family = zoo.FAMILIES["text"]
    p = family.unet | {"context_dim": 128, "in_channels": 4 + joined}
    config = zoo.config_of(family)
    params = config["model"]["params"]
    params["unet_config"]["params"] = p
    params["cond_stage_config"] = {"target": "ldm.modules.encoders.modules.FrozenCLIPEmbedder"}
    torch.manual_seed(0)
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=40,
            hidden_size=128,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=12,
            bos_token_id=38,
            eos_token_id=39,
            pad_token_id=39,
        )
    ).eval()
    weights = zoo.make("text", tmp_path / "text")
    w = ref.Weights()
    w.update({k: v for k, v in weights.items() if k.startswith("first_stage_model.")})
    z, t = initial_noise([0, 1], seed=0, shape=(4, 8, 8)), torch.tensor([5, 500])
    ids = torch.tensor([[38, 5, 6, 39] + [39] * 8, [38, 7, 39] + [39] * 9])
    cond, x = ids, z
    if joined:
        config["model"]["target"] = "ldm.models.diffusion.ddpm.LatentInpaintDiffusion"
        image = initial_noise([0, 1], seed=1, shape=(3, 32, 32)).tanh()
        mask = (initial_noise([0, 1], seed=2, shape=(1, 32, 32)) > 0).float()
        cond = {"prompt": ids, "image": image, "mask": mask}
        with torch.no_grad():
            masked = ref.stage_encode(
                w, "first_stage_model.", image * (mask < 0.5), family.stage["params"]
            )
        x = torch.cat([z, torch.nn.functional.interpolate(mask, 8), masked * family.scale], 1)
    with torch.no_grad():
        context = clip(ids)[0]
        theirs = ref.unet(w, "model.diffusion_model.", x, t, p, context=context)
    for key, value in clip.state_dict().items():
        short = key.removeprefix("text_model.")
        w[f"cond_stage_model.transformer.text_model.{short}"] = value
    position = "cond_stage_model.transformer.text_model.embeddings.position_ids"
    w[position] = torch.arange(12)[None]
    zoo.save(tmp_path / "sd", w, config)
    model = load(tmp_path / "sd")
    assert apart(model.eps(z, t, cond), theirs) < TOLERANCE
    listed = cond | {"prompt": ids.tolist()} if joined else ids.tolist()
    assert torch.equal(model.eps(z, t, listed), model.eps(z, t, cond))
    assert model.info.weights == "raw"
    assert model.info.conditioning == ("inpainting" if joined else "text")
    written = load(convert(model, tmp_path / "out"))
    assert apart(written.eps(z, t, cond), model.eps(z, t, cond)) < 1e-5
    told = cond | {"prompt": ["a", "b"]} if joined else ["a", "b"]
    with pytest.raises(errors.InputError, match="clip-vit-large-patch14"):
        model.eps(z, t, told)


def test_a_module_under_two_names_may_be_kept_under_either(made, tmp_path):
    """safetensors drops the second name of a shared tensor and notes it in the metadata."""
    from safetensors.torch import save_file

    folder, w = made("inpainting")
    model = load(folder)
    x = initial_noise([0], seed=1, shape=(3, 32, 32)).tanh()
    kept = {k: v.contiguous() for k, v in w.items() if not k.startswith("first_stage_model.")}
    noted = {
        k: "cond_stage_model." + k[18:]
        for k in w
        if k.startswith("first_stage_model.") and ".loss" not in k
    }
    for name, metadata in (("noted", noted), ("dropped", None)):
        path = tmp_path / f"{name}.safetensors"
        save_file(kept, path, metadata=metadata)
        again = load(path, config=folder / "config.yaml")
        assert torch.equal(again.encode(x), model.encode(x))


def test_log_folders_of_the_trainer_load(made, tmp_path):
    folder, _ = made("mixed")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "configs").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes((folder / "model.ckpt").read_bytes())
    config = (folder / "config.yaml").read_text()
    (tmp_path / "configs" / "2022-01-01T00-00-00-project.yaml").write_text(config)
    (tmp_path / "configs" / "2022-01-01T00-00-00-lightning.yaml").write_text("lightning: {}")
    assert load(tmp_path / "checkpoints").info.weights == "ema"


def test_named_and_given_betas_become_a_schedule():
    from ldmbench.sources.models.compvis_process import read_schedule
    from ldmbench.tensors.entries import Held

    none = Held(Path("model.ckpt"), {})

    ends = {"linear_start": 0.001, "linear_end": 0.02, "timesteps": 100}
    line = np.linspace(0.001, 0.02, 100)
    for params, betas in (
        ({"beta_schedule": "sqrt_linear"}, line),
        ({"beta_schedule": "sqrt"}, line**0.5),
        ({"given_betas": [0.1, 0.2, 0.3]}, [0.1, 0.2, 0.3]),
    ):
        found = read_schedule(ends | params, none, where="here")
        assert np.allclose(found.beta_array(), betas, rtol=1e-12)
        assert len(betas) == found.T
    told = read_schedule(ends | {"beta_schedule": "cosine", "cosine_s": 0.02}, none, where="here")
    t = np.cos((np.arange(101) / 100 + 0.02) / 1.02 * np.pi / 2) ** 2
    assert np.allclose(told.beta_array(), np.minimum(1 - t[1:] / t[:-1], 0.999), rtol=1e-9)
    assert dict(told.options)["clip_sample"] is False
    posterior = read_schedule({"v_posterior": 1}, none, where="here")
    assert ("variance_type", "fixed_large") in posterior.options


def test_first_stages_may_have_averages(tmp_path):
    w = ref.Weights()
    params = zoo.stage("VQModel", attn_resolutions=[16])["params"] | {"use_ema": True}
    x = initial_noise([0], seed=1, shape=(3, 32, 32)).tanh()
    with torch.no_grad():
        ref.stage_decode(w, "", ref.stage_encode(w, "", x, params), params)
        raw = ref.stage_encode(w, "", x, params)
    means = ref.Weights()
    means.update({k: 0.9 * v for k, v in w.items()})
    with torch.no_grad():
        averaged = ref.stage_encode(means, "", x, params)
    both = dict(w) | {"model_ema." + k.replace(".", ""): v for k, v in means.items()}
    both |= {"loss.logvar": torch.zeros(1), "model_ema.losslogvar": torch.zeros(1)}
    both |= {"model_ema.decay": torch.tensor(0.9), "model_ema.num_updates": torch.tensor(1)}
    zoo.save(tmp_path, both, {"model": {"target": "ldm.VQModel", "params": params}})
    assert apart(load(tmp_path).encode(x), averaged) < TOLERANCE
    assert apart(load(tmp_path, ema=False).encode(x), raw) < TOLERANCE


def test_prompts_are_padded_to_the_length_of_the_config(tmp_path):
    """BERTEmbedder hands max_seq_len to its tokenizer, also where it is more than 77."""
    family = zoo.FAMILIES["text"]
    cond = zoo.BERT | {"params": zoo.BERT["params"] | {"max_seq_len": 92}}
    config = zoo.config_of(dataclasses.replace(family, cond=cond))
    w = zoo.make("text", tmp_path / "text")
    w["cond_stage_model.transformer.pos_emb.emb.weight"] = torch.zeros(92, 24)
    zoo.save(tmp_path / "long", w, config)
    (tmp_path / "long" / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nred\n")
    model = load(tmp_path / "long")
    z = initial_noise([0], seed=0, shape=(4, 8, 8))
    assert model.condition.inputs(["a red"], z)["context"].shape == (1, 92, 24)
    written = load(convert(model, tmp_path / "out"))
    assert written.condition.inputs(["a red"], z)["context"].shape == (1, 92, 24)


def test_attention_of_xformers_is_the_usual_one(tmp_path):
    folder = tmp_path / "m"
    zoo.make("churches", folder)
    config = zoo.config_of(zoo.FAMILIES["churches"])
    params = config["model"]["params"]["first_stage_config"]["params"]
    changed = params | {"ddconfig": params["ddconfig"] | {"attn_type": "vanilla-xformers"}}
    config["model"]["params"]["first_stage_config"]["params"] = changed
    z = initial_noise([0], seed=0, shape=(4, 8, 8))
    assert torch.equal(load(folder, config=config).decode(z), load(folder).decode(z))


def test_heads_upsample_counts_in_legacy_networks_alone():
    from ldmbench.sources.models.compvis_plan import plan_unet

    p = zoo.unet(num_heads=4, num_heads_upsample=2, **zoo.HEADS)
    assert plan_unet(p, where="here").up_heads == (2, 2)
    assert plan_unet(p | {"legacy": False}, where="here").up_heads == (4, 4)
