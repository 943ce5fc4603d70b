"""Small members of the CompVis zoo's families, and checkpoints as Lightning writes them."""

import collections
import json
import pickle
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import compvis_reference as ref
import torch

START, END = 0.0015, 0.0195


def dd(**changes):
    base = {
        "double_z": False,
        "z_channels": 3,
        "resolution": 32,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 2, 2],
        "num_res_blocks": 1,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    return base | changes


def stage(target="VQModelInterface", *, embed_dim=3, n_embed=16, **changes):
    params = {"embed_dim": embed_dim, "ddconfig": dd(**changes)}
    params["lossconfig"] = {"target": "torch.nn.Identity"}
    if "VQ" in target:
        params["n_embed"] = n_embed
    return {"target": f"ldm.models.autoencoder.{target}", "params": params}


def kl(**changes):
    known = {"double_z": True, "z_channels": 4}
    return stage("AutoencoderKL", **({"embed_dim": 4} | known | changes))


def unet(**changes):
    base = {
        "image_size": 8,
        "in_channels": 3,
        "out_channels": 3,
        "model_channels": 32,
        "attention_resolutions": [2],
        "num_res_blocks": 1,
        "channel_mult": [1, 2],
        "num_head_channels": 16,
    }
    return base | changes


@dataclass
class Family:
    """One member: params of the LatentDiffusion, and what its condition looks like."""

    unet: dict
    stage: dict
    cond: object = "__is_unconditional__"
    params: dict = field(default_factory=dict)
    scale: float = 1.0
    ema: bool = True


CROSS = {"use_spatial_transformer": True, "context_dim": 24, "transformer_depth": 1}
CLASSES = {
    "target": "ldm.modules.encoders.modules.ClassEmbedder",
    "params": {"n_classes": 11, "embed_dim": 24, "key": "class_label"},
}
BERT = {
    "target": "ldm.modules.encoders.modules.BERTEmbedder",
    "params": {"n_embed": 24, "n_layer": 2, "vocab_size": 30, "max_seq_len": 12},
}
HEADS = {"num_head_channels": -1}

FAMILIES = {
    # lsun_churches256
    "churches": Family(
        unet(
            in_channels=4,
            out_channels=4,
            channel_mult=[1, 2, 3],
            attention_resolutions=[1, 2, 4],
            use_scale_shift_norm=True,
            resblock_updown=True,
            num_heads=8,
            **HEADS,
        ),
        kl(attn_resolutions=[8]),
        params={"scale_by_std": True, "channels": 4},
        scale=0.2271,
    ),
    # celebahq256, with resampling blocks where a level has no attention
    "mixed": Family(unet(resblock_updown=True, num_res_blocks=2), stage(attn_resolutions=[16, 8])),
    # cin256-v2, no averages
    "classes": Family(
        unet(num_heads=1, **HEADS, **CROSS),
        stage(),
        CLASSES,
        {"conditioning_key": "crossattn", "use_ema": False},
        ema=False,
    ),
    # cin256
    "classes-f8": Family(
        unet(in_channels=4, out_channels=4, **CROSS),
        stage(embed_dim=4, z_channels=4, ch_mult=[1, 1, 2], attn_resolutions=[8]),
        CLASSES | {"params": CLASSES["params"] | {"n_classes": 1000}},
        {"conditioning_key": "crossattn", "channels": 4},
    ),
    # text2img256 and text2img-large
    "text": Family(
        unet(in_channels=4, out_channels=4, num_heads=4, **HEADS, **CROSS),
        kl(),
        BERT,
        {"conditioning_key": "crossattn", "scale_factor": 0.18215, "channels": 4},
        scale=0.18215,
    ),
    # layout2img-openimages256
    "layout": Family(
        unet(**(CROSS | {"transformer_depth": 2})),
        stage(),
        BERT | {"params": BERT["params"] | {"use_tokenizer": False}},
        {"conditioning_key": "crossattn"},
    ),
    # bsr_sr
    "super-resolution": Family(
        unet(in_channels=6), stage(), {"target": "torch.nn.Identity"}, {"concat_mode": True}
    ),
    # semantic_synthesis256
    "semantic": Family(
        unet(in_channels=6, num_heads=8, attention_resolutions=[32, 16], **HEADS),
        stage(),
        {
            "target": "ldm.modules.encoders.modules.SpatialRescaler",
            "params": {"n_stages": 2, "in_channels": 7, "out_channels": 3},
        },
        {"concat_mode": True},
    ),
    # inpainting_big
    "inpainting": Family(
        unet(in_channels=7, num_heads=8, attention_resolutions=[1, 2], **HEADS),
        stage(attn_type="none"),
        "__is_first_stage__",
        {"concat_mode": True},
    ),
    # rdm, KL whose latent is narrower than the encoder's output
    "context": Family(
        unet(in_channels=2, out_channels=2, **CROSS),
        kl(embed_dim=2),
        {"target": "torch.nn.Identity"},
        {"conditioning_key": "crossattn", "channels": 2, "parameterization": "x0"},
    ),
    # what no released config asks for, but the original's code can do
    "classes-timed": Family(
        unet(resblock_updown=True, use_scale_shift_norm=True, num_heads=4, **HEADS, **CROSS),
        stage(attn_type="linear", attn_resolutions=[16]),
        CLASSES,
        {"conditioning_key": "crossattn"},
    ),
    "classes-pooled": Family(
        unet(in_channels=4, out_channels=4, conv_resample=False, **CROSS),
        kl(use_linear_attn=True, tanh_out=True),
        CLASSES,
        {"conditioning_key": "crossattn", "channels": 4},
        ema=False,
    ),
    "pooled": Family(
        unet(conv_resample=False, num_heads=2, num_heads_upsample=4, **HEADS),
        stage(resamp_with_conv=False),
        params={"beta_schedule": "sqrt_linear"},
        ema=False,
    ),
    "labels": Family(
        unet(num_classes=7, image_size=32),
        stage(),
        {"target": "torch.nn.Identity"},
        {"conditioning_key": "adm"},
        ema=False,
    ),
}


def config_of(family):
    params = {
        "linear_start": START,
        "linear_end": END,
        "timesteps": 1000,
        "image_size": 8,
        "channels": 3,
        "first_stage_config": family.stage,
        "cond_stage_config": family.cond,
        "unet_config": {
            "target": "ldm.modules.diffusionmodules.openaimodel.UNetModel",
            "params": family.unet,
        },
    }
    target = "ldm.models.diffusion.ddpm.LatentDiffusion"
    return {"model": {"target": target, "params": params | family.params}}


def condition(w, name, family, z, seed=0):
    """Return (what a user gives, what the network gets) of a family, drawn from a seed."""
    g = torch.Generator().manual_seed(seed)
    b = len(z)
    if family.cond == "__is_unconditional__":
        return None, {}
    if name == "labels":
        labels = torch.randint(0, 7, (b,), generator=g)
        return labels, {"labels": labels}
    if "classes" in name:
        labels = torch.randint(0, 10, (b,), generator=g)
        p = family.cond["params"]
        table = w.get(
            "cond_stage_model.embedding.weight", (p["n_classes"], p["embed_dim"]), spread=1.0
        )
        return labels, {"context": table[labels][:, None]}
    if name in ("text", "layout"):
        ids = torch.randint(0, 30, (b, 12), generator=g)
        return ids, {"context": ref.bert(w, "cond_stage_model.", ids, family.cond["params"])}
    if name == "context":
        context = torch.randn(b, 3, 24, generator=g)
        return context, {"context": context}
    if name == "super-resolution":
        small = torch.rand(b, 3, *z.shape[2:], generator=g) * 2 - 1
        return small, {"concat": small}
    if name == "semantic":
        labels = torch.randint(0, 7, (b, 4 * z.shape[2], 4 * z.shape[3]), generator=g)
        onehot = torch.nn.functional.one_hot(labels, 7).permute(0, 3, 1, 2).float()
        h = onehot
        for _ in range(2):
            h = torch.nn.functional.interpolate(h, scale_factor=0.5, mode="bilinear")
        joined = ref.conv(w, "cond_stage_model.channel_mapper", h, 3, 1, bias=False)
        return onehot, {"concat": joined}
    image = torch.rand(b, 3, 4 * z.shape[2], 4 * z.shape[3], generator=g) * 2 - 1
    mask = (torch.rand(b, 1, *image.shape[2:], generator=g) > 0.5).float() * 2 - 1
    masked = image * (mask < 0)
    latent = ref.stage_encode(w, "first_stage_model.", masked, family.stage["params"])
    small = torch.nn.functional.interpolate(mask, size=latent.shape[-2:])
    return torch.cat([masked, mask], 1), {"concat": torch.cat([latent, small], 1)}


def eps_of(w, family, z, t, inputs, prefix="model.diffusion_model."):
    x = torch.cat([z, inputs["concat"]], 1) if "concat" in inputs else z
    told = {k: inputs.get(k) for k in ("context", "labels")}
    return ref.unet(w, prefix, x, t, family.unet, **told)


@torch.no_grad()
def make(name, folder, *, seed=0):
    """Write model.ckpt and config.yaml of a family; return its weights."""
    family, w = FAMILIES[name], ref.Weights(seed)
    dd_, embed = family.stage["params"]["ddconfig"], family.stage["params"]["embed_dim"]
    image = torch.zeros(1, 3, dd_["resolution"], dd_["resolution"])
    latent = ref.stage_encode(w, "first_stage_model.", image, family.stage["params"])
    ref.stage_decode(w, "first_stage_model.", latent, family.stage["params"])
    z = torch.zeros(1, embed, 8, 8)
    _, inputs = condition(w, name, family, z)
    eps_of(w, family, z, torch.ones(1).long(), inputs)
    power = 1 if family.params.get("beta_schedule") == "sqrt_linear" else 2
    ends = START ** (1 / power), END ** (1 / power)
    w["betas"] = (torch.linspace(*ends, 1000, dtype=torch.float64) ** power).float()
    if family.params.get("scale_by_std"):
        w["scale_factor"] = torch.tensor(family.scale)
    if family.ema:
        g = torch.Generator().manual_seed(seed + 1)
        w["model_ema.decay"], w["model_ema.num_updates"] = torch.tensor(0.9999), torch.tensor(7)
        for key in [k for k in w if k.startswith("model.")]:
            noise = 0.02 * torch.randn(w[key].shape, generator=g)
            w["model_ema." + key[6:].replace(".", "")] = w[key] + noise
    if family.cond == "__is_first_stage__":  # one module under two names
        for key in [k for k in w if k.startswith("first_stage_model.")]:
            w["cond_stage_model." + key[18:]] = w[key]
    w["first_stage_model.loss.discriminator.weight"] = torch.zeros(2)
    save(folder, w, config_of(family))
    return w


def averaged(w):
    """Return the weights with their averages in place."""
    out = ref.Weights()
    out.update(w)
    for key in w:
        if key.startswith("model.") and "model_ema." + key[6:].replace(".", "") in w:
            out[key] = w["model_ema." + key[6:].replace(".", "")]
    return out


def save(folder: Path, weights, config):
    """Write a checkpoint as pytorch-lightning 1.4 does: callbacks keyed by their class."""
    folder.mkdir(parents=True, exist_ok=True)
    state = collections.OrderedDict((k, v.clone()) for k, v in weights.items())
    with ForeignClass("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint") as cls:
        content = {"epoch": 3, "state_dict": state, "callbacks": {cls: {"best": None}}}
        torch.save(content, folder / "model.ckpt")
    (folder / "config.yaml").write_text(json.dumps(config, indent=1))


class ForeignClass:
    """A class of a library that is not installed, importable while a pickle is written."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __enter__(self):
        parts = self.module.split(".")
        self.added = [".".join(parts[: i + 1]) for i in range(len(parts))]
        self.added = [n for n in self.added if n not in sys.modules]
        for name in self.added:
            sys.modules[name] = types.ModuleType(name)
        cls = type(self.name, (), {"__module__": self.module})
        setattr(sys.modules[self.module], self.name, cls)
        return cls

    def __exit__(self, *error):
        for name in self.added:
            del sys.modules[name]


class Evil:
    """Pickles into a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def evil_bytes(function, *arguments, protocol=2):
    return pickle.dumps({"state_dict": Evil(function, *arguments)}, protocol=protocol)
