"""Every family of loadable model on the stand-in for a GPU: the CPU's bytes, no devices mixed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import compvis_zoo as zoo
import numpy as np
import pytest
import test_models_export as trained
import test_models_load_clip as clip_tests
import test_models_load_compvis as compvis_tests
import test_models_load_diffusers as folders
import test_models_load_upsampler as upsampler_tests
import torch
from comparing import one_thread  # noqa: F401
from diffusers import (
    AutoencoderTiny,
    DDIMPipeline,
    DDIMScheduler,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    EulerDiscreteScheduler,
    LDMSuperResolutionPipeline,
    LDMTextToImagePipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionUpscalePipeline,
    VQModel,
)
from shadow import ShadowDevice
from torch.utils._pytree import tree_map

from ldmbench.models import load
from ldmbench.models.export import export_model
from ldmbench.models.model import Model
from ldmbench.models.shipped import load_shipped
from ldmbench.models.trained import load_trained
from ldmbench.sample import initial_noise

pytestmark = pytest.mark.campaign
PROMPTS = ["a red cat", "a"]
OTHER_SAMPLERS = ("ddpm", "dpm++")


@dataclass
class Member:
    """One model: how it is loaded, what it is told, and how it is guided.

    Attributes:
        load: returns the model, on the CPU.
        cond: of two images.
        guided: what `sample` is told of guidance.
        rate: whether its first stage costs bits.
    """

    load: Callable[[], Model]
    cond: Any = None
    guided: dict[str, Any] = field(default_factory=dict)
    rate: bool = True


NULL = {"guidance": 2.5}
"""Guidance by the condition that the model itself holds for none."""


FORMS = {
    "text": lambda ids: PROMPTS,
    "semantic": lambda onehot: onehot.argmax(1),
    "inpainting": lambda joined: {"image": joined[:, :3], "mask": joined[:, 3:]},
}
"""The forms of a condition that the model turns into what `compvis_zoo` gives."""


def seeded(seed, *shape):
    return initial_noise([0, 1], seed=seed, shape=shape)


def images(side, channels=3):
    return seeded(1, channels, side, side).tanh()


def compvis(name):
    def write(folder):
        family, w = zoo.FAMILIES[name], zoo.make(name, folder)
        cond, _ = zoo.condition(zoo.averaged(w), name, family, seeded(0, 3, 8, 8))
        (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nred\ncat")
        told = FORMS.get(name, lambda given: given)(cond)
        no_null = {"classes-f8", "labels"}
        guided = NULL | ({"uncond": [3, 5]} if name in no_null else {})
        return Member(lambda: load(folder), told, {} if cond is None else guided)

    return write


def original(*parts):
    """Return a model that the original code wrote."""
    return lambda _: Member(lambda: load(compvis_tests.GOLDEN.parent.joinpath(*parts)))


def guided_diffusion(**changes):
    def write(folder):
        folder.mkdir()
        labelled = changes.get("class_cond", True)
        guided = {"guidance": 2.5, "uncond": [0, 3]} if labelled else {}
        cond = torch.tensor([1, 4]) if labelled else None
        made = lambda: compvis_tests.adm(folder, **changes)[0]  # noqa: E731
        return Member(made, cond, guided, rate=False)

    return write


def upsampler(**flags):
    def write(folder):
        _, _, cond, _ = upsampler_tests.write(folder, upsampler_tests.SMALL | flags)
        guided = dict(NULL)
        if flags.get("class_cond"):
            guided["uncond"] = {"labels": torch.tensor([0, 2]), "image": cond["image"] * 0}
        return Member(lambda: load(folder), cond, guided, rate=False)

    return write


def stable_diffusion_1(folder):
    clip_tests.clip(folder)
    return Member(lambda: load(folder), clip_tests.IDS, NULL | {"uncond": clip_tests.IDS.flip(0)})


def stable_diffusion_2(folder):
    clip_tests.open_clip_of(folder, "penultimate", unet=clip_tests.SD2)
    tokens = lambda: load(folder, tokenizer=clip_tests.words())  # noqa: E731
    return Member(tokens, ["a b", "b!"], NULL)


def pipeline(build, cond=None, guided=None, rate=True):
    """Return what writes a diffusers folder.

    Args:
        build: folder for its parts -> pipeline.
        cond: see Member, as the two that follow.
        guided: of sampling.
        rate: whether its first stage costs bits.
    """

    def write(folder):
        torch.manual_seed(0)
        build(folder.parent / "parts").save_pretrained(folder)
        return Member(lambda: load(folder), cond, guided or {}, rate)

    return write


def of_prompts(cls, unet=None, scheduler=None, **parts):
    """Return what builds a pipeline of Stable Diffusion's shape."""

    def build(folder):
        tokenizer, encoder = folders.clip(folder)
        more = {} if cls is StableDiffusionUpscalePipeline else {"requires_safety_checker": False}
        checker = {"safety_checker": None, "feature_extractor": None} if more else {}
        made = {name: part() for name, part in parts.items()}
        return cls(
            vae=folders.vae(),
            text_encoder=encoder,
            tokenizer=tokenizer,
            unet=folders.text_unet(**(unet or {})),
            scheduler=scheduler or DDIMScheduler(**folders.LATENT, steps_offset=1),
            **made,
            **checker,
            **more,
        )

    return build


def ldm_text(first):
    def build(_):
        tokenizer, bert = folders.bert()
        unet, steps = folders.text_unet(), DDIMScheduler(**folders.LATENT)
        return LDMTextToImagePipeline(
            vqvae=first(), bert=bert, tokenizer=tokenizer, unet=unet, scheduler=steps
        )

    return build


def small_vq(**changes):
    return folders.vae(VQModel, num_vq_embeddings=16, **changes)


def ldm_super_resolution(_):
    unet = folders.unet(in_channels=6, out_channels=3)
    return LDMSuperResolutionPipeline(
        vqvae=small_vq(latent_channels=3), unet=unet, scheduler=DDIMScheduler(**folders.LATENT)
    )


def dit(_):
    transformer = DiTTransformer2DModel(
        sample_size=8,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        norm_elementwise_affine=False,
    )
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return DiTPipeline(transformer, folders.vae(), DDIMScheduler())


def pixels(**scheduler):
    def build(_):
        return DDIMPipeline(folders.unet(in_channels=3, out_channels=3), DDIMScheduler(**scheduler))

    return build


def tiny_autoencoder():
    blocks = {f"{way}_block_out_channels": (16, 16) for way in ("encoder", "decoder")}
    counts = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    return AutoencoderTiny(**blocks, **counts)


def first_stage(build, rate=True):
    return pipeline(lambda _: build(), rate=rate)


def trained_here(first, conditioning, *, exported):
    def write(folder):
        folder.mkdir()
        stored = trained.made(folder, first, conditioning)
        guided = {} if conditioning == "none" else NULL
        read = lambda: load_trained(*stored)  # noqa: E731
        if exported:
            export_model(*stored, folder / "out", raw=False, origin={})
            read = lambda: load(folder / "out")  # noqa: E731
        return Member(read, trained.GIVEN[conditioning], guided, rate=first[0] > 1)

    return write


MASK = (seeded(2, 1, 16, 16) > 0).float()
LOW = images(8)
VELOCITY = EulerDiscreteScheduler(**folders.BETAS, prediction_type="v_prediction")
BLURRED = {"prompt": PROMPTS, "image": LOW, "noise": seeded(3, 3, 8, 8)}
PAINTED = {"prompt": PROMPTS, "image": images(16), "mask": MASK}
UPSCALING = of_prompts(
    StableDiffusionUpscalePipeline,
    {"in_channels": 7, "num_class_embeds": 1000},
    low_res_scheduler=lambda: DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
)
INPAINTING = of_prompts(StableDiffusionInpaintPipeline, {"in_channels": 9})
ZERO_SNR = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}

MEMBERS = {
    **{f"compvis-{name}": compvis(name) for name in zoo.FAMILIES},
    "compvis-first-stage-kl": original("compvis", "kl-f8"),
    "compvis-first-stage-vq": original("compvis", "vq-f4"),
    "compvis-original": original("compvis", "ldm-uncond-vqf4"),
    "compvis-stable-diffusion-1": stable_diffusion_1,
    "compvis-stable-diffusion-2": stable_diffusion_2,
    "guided-diffusion-classes": guided_diffusion(),
    "guided-diffusion-none": guided_diffusion(class_cond=False, learn_sigma=False),
    "guided-diffusion-cosine": guided_diffusion(
        use_new_attention_order=True, noise_schedule="cosine", diffusion_steps=4000
    ),
    "upsampler": upsampler(learn_sigma=False),
    "upsampler-classes": upsampler(class_cond=True, num_classes=5),
    "diffusers-original": original("diffusers", "ldm"),
    "diffusers-text-kl": pipeline(ldm_text(folders.vae), PROMPTS, NULL),
    "diffusers-text-vq": pipeline(ldm_text(small_vq), PROMPTS, NULL),
    "diffusers-super-resolution": pipeline(ldm_super_resolution, LOW, NULL),
    "diffusers-dit": pipeline(dit, [207, 3], NULL),
    "diffusers-pixels": pipeline(pixels(), rate=False),
    "diffusers-zero-snr": pipeline(pixels(**ZERO_SNR), rate=False),
    "stable-diffusion": pipeline(of_prompts(StableDiffusionPipeline), PROMPTS, NULL),
    "stable-diffusion-v": pipeline(
        of_prompts(StableDiffusionPipeline, scheduler=VELOCITY), PROMPTS, NULL
    ),
    "stable-diffusion-inpainting": pipeline(INPAINTING, PAINTED, NULL),
    "stable-diffusion-upscaling": pipeline(UPSCALING, BLURRED, NULL),
    "first-stage-kl": first_stage(folders.vae),
    "first-stage-vq": first_stage(small_vq),
    "first-stage-tiny": first_stage(tiny_autoencoder, rate=False),
    "first-stage-shipped": lambda _: Member(lambda: load_shipped("shapes-kl-f4")),
    "trained": trained_here((2, "kl"), "caption", exported=False),
    "trained-exported": trained_here((2, "kl"), "caption", exported=True),
    "trained-vq-exported": trained_here((2, "vq"), "none", exported=True),
    "trained-pixels-exported": trained_here((1, "kl"), "class", exported=True),
}


def all_of(member, device):
    """Return everything that a model gives on a device, and check that it lies there."""
    model = member.load().to(device)
    kind = torch.device(device).type
    for network in model.networks().values():
        held = [*network.parameters(), *network.buffers()]
        assert {tensor.device.type for tensor in held} == {kind}
    c, side = model.info.latent_shape[0], min(model.info.latent_shape[1], 16)
    x, z = images(side * model.info.f).to(device), seeded(0, c, side, side).to(device)
    made = {"encode": model.encode(x), "decode": model.decode(z)}
    if model.info.regularization == "kl":
        made["draw"] = model.encode(x, noise=torch.ones_like(made["encode"]))
    if member.rate:
        made["rate"] = model.rate(x).bits_per_pixel
    if model.info.schedule is not None:
        made |= denoised(model, member, z)
    drawn = made.pop("images", None)
    assert {value.device.type for name, value in made.items() if name != "rate"} == {kind}
    arrays = {name: value.cpu().numpy() for name, value in made.items()}
    return arrays if drawn is None else arrays | {"images": drawn}


def denoised(model, member, z):
    """Return predictions and samples; the condition lies on the CPU, then on the device."""
    there = tree_map(lambda v: v.to(z.device) if torch.is_tensor(v) else v, member.cond)
    t, run = torch.tensor([3, 700]), {"seeds": [5, 6], "decode": False}
    guided = member.guided
    made = {
        "eps": model.eps(z, t, member.cond),
        "eps of the device": model.eps(z, t.to(z.device), there),
        "ddim": model.sample(z, steps=4, eta=0.7, cond=there, **guided, **run),
        "images": model.sample(z, steps=4, eta=0.7, cond=member.cond, seeds=[5, 6], **guided),
    }
    for sampler in OTHER_SAMPLERS:
        made[sampler] = model.sample(z, steps=4, sampler=sampler, cond=there, **guided, **run)
    return made


@pytest.mark.parametrize("name", MEMBERS)
def test_a_model_on_a_device_gives_the_cpus_bytes(name, tmp_path):
    member = MEMBERS[name](tmp_path / "model")
    on_cpu = all_of(member, "cpu")
    with ShadowDevice() as stand_in:
        on_device = all_of(member, "cuda:0")
    assert stand_in.copies["to", "to"] > 0  # it was on the device
    assert on_device.keys() == on_cpu.keys()
    for key, value in on_cpu.items():
        assert np.isfinite(value).all(), key
        assert on_device[key].tobytes() == value.tobytes(), key
