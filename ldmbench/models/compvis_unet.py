"""CompVis and guided-diffusion UNets (openaimodel.UNetModel) as diffusers networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ldmbench.errors import InputError
from ldmbench.models.weights import Source, Tensors, fill

__all__ = ["UNetPlan", "build_unet", "plan_unet"]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_REFUSED = {
    "dims": (2, "networks of another dimension"),
    "n_embed": (None, "prediction of code indices"),
    "disable_self_attentions": (None, "levels without self-attention"),
    "num_attention_blocks": (None, "attention blocks counted by level"),
}


@dataclass(frozen=True)
class UNetPlan:
    """What a UNet's config says, with the defaults of the original filled in.

    Attributes:
        in_channels: channels of latent and concatenated condition together.
        out_channels: channels predicted (twice the latent's with learned sigma).
        widths: channels of each level.
        layers: residual blocks a level.
        attends: whether a level has attention.
        heads: number of heads of each level, meaningful where it attends.
        middle_heads: number of heads in the middle.
        context: width of the cross-attention context, or None.
        depth: transformer blocks a level.
        classes: size of the label table, or None.
        shift: "scale_shift" or "default" time embedding.
        resample: "resnet" or "conv" resampling.
        joint_order: query, key and value of all heads follow one another (the new order).
        linear: projections of the transformer are linear layers.
        size: latent size of training.
    """

    in_channels: int
    out_channels: int
    widths: tuple[int, ...]
    layers: int
    attends: tuple[bool, ...]
    heads: tuple[int, ...]
    middle_heads: int
    context: int | None
    depth: int
    classes: int | None
    shift: str
    resample: str
    joint_order: bool
    linear: bool
    size: int


def plan_unet(params: Mapping[str, Any], *, where: str) -> UNetPlan:
    """Read `params` of a UNetModel config.

    Raises:
        InputError: a field is missing, or asks for what no diffusers network can do.
    """
    for name, (allowed, what) in _REFUSED.items():
        if params.get(name, allowed) not in (allowed, None):
            raise InputError(f"{where}: {name} = {params[name]} ({what}) is not supported")
    if params.get("conv_resample", True) is not True and not params.get("resblock_updown"):
        raise InputError(f"{where}: conv_resample false is not supported")
    needed = ("in_channels", "model_channels", "out_channels", "num_res_blocks")
    lacking = [k for k in (*needed, "attention_resolutions") if k not in params]
    if lacking:
        raise InputError(f"{where}: the UNet's config lacks {', '.join(lacking)}")
    mult = [float(m) for m in params.get("channel_mult", (1, 2, 4, 8))]
    widths = tuple(int(m * int(params["model_channels"])) for m in mult)
    marked = {int(r) for r in params["attention_resolutions"]}
    heads = tuple(_heads(params, width, where) for width in widths)
    crossed = bool(params.get("use_spatial_transformer"))
    context = _first(params.get("context_dim"))
    if crossed and params.get("resblock_updown"):
        raise InputError(f"{where}: resblock_updown with a spatial transformer is not supported")
    return UNetPlan(
        in_channels=int(params["in_channels"]),
        out_channels=int(params["out_channels"]),
        widths=widths,
        layers=_first(params["num_res_blocks"]) or 2,
        attends=tuple(2**i in marked for i in range(len(widths))),
        heads=heads,
        middle_heads=heads[-1],
        context=context if crossed else None,
        depth=_first(params.get("transformer_depth", 1)) or 1,
        classes=params.get("num_classes"),
        shift="scale_shift" if params.get("use_scale_shift_norm") else "default",
        resample="resnet" if params.get("resblock_updown") else "conv",
        joint_order=bool(params.get("use_new_attention_order")),
        linear=bool(params.get("use_linear_in_transformer")),
        size=int(params.get("image_size", 32)),
    )


def build_unet(plan: UNetPlan, tensors: Tensors, *, where: str) -> nn.Module:
    """Build the diffusers network of a plan and fill it with the checkpoint's tensors.

    Raises:
        InputError: keys are missing, left over or of another shape.
    """
    with torch.device("meta"):
        network = _conditional(plan) if plan.context else _plain(plan)
    fill(network, tensors, _sources(plan), where=where)
    return network.eval().requires_grad_(False)


def _heads(params: Mapping[str, Any], width: int, where: str) -> int:
    per_head = int(params.get("num_head_channels", -1))
    heads = int(params.get("num_heads", -1))
    if per_head == -1 and heads == -1:
        raise InputError(f"{where}: the UNet's config has neither num_heads nor num_head_channels")
    upward = int(params.get("num_heads_upsample", -1))
    if upward not in (-1, heads):
        raise InputError(f"{where}: num_heads_upsample = {upward} is not supported")
    return heads if per_head == -1 else max(width // per_head, 1)


def _first(value: Any) -> int | None:
    """Return a number that some configs write as a list of equal ones."""
    if value is None or isinstance(value, int):
        return value
    values = {int(v) for v in value}
    if len(values) != 1:
        raise InputError(f"the UNet's config has unlike values {sorted(values)} for its levels")
    return values.pop()


def _plain(plan: UNetPlan) -> nn.Module:
    from diffusers import UNet2DModel

    from ldmbench.models.compvis_networks import HeadsUNet2DModel

    used = {h for h, a in zip(plan.heads, plan.attends) if a} | {plan.middle_heads}
    dims = {w // h for w, h, a in zip(plan.widths, plan.heads, plan.attends) if a}
    dims.add(plan.widths[-1] // plan.middle_heads)
    config = _common(plan) | {
        "down_block_types": [_plain_block(plan, i, "Down") for i in range(len(plan.widths))],
        "up_block_types": [_plain_block(plan, i, "Up") for i in range(len(plan.widths))][::-1],
        "downsample_type": plan.resample,
        "upsample_type": plan.resample,
        "num_class_embeds": plan.classes,
        "attention_head_dim": min(dims),
        "attn_norm_num_groups": 32,  # else scale_shift leaves the middle attention without a norm
    }
    if len(dims) == 1:
        network: nn.Module = UNet2DModel(**config)
    elif len(used) == 1:
        network = HeadsUNet2DModel(num_heads=used.pop(), base=config)
    else:
        raise InputError(
            f"heads {sorted(used)} of widths {sorted(dims)} are not supported together"
        )
    return network


def _plain_block(plan: UNetPlan, level: int, way: str) -> str:
    if plan.attends[level]:
        return f"Attn{way}Block2D"
    return f"Resnet{way}sampleBlock2D" if plan.resample == "resnet" else f"{way}Block2D"


def _conditional(plan: UNetPlan) -> nn.Module:
    from diffusers import UNet2DConditionModel

    def blocks(way: str) -> list[str]:
        return [f"CrossAttn{way}Block2D" if a else f"{way}Block2D" for a in plan.attends]

    network: nn.Module = UNet2DConditionModel(
        **_common(plan),
        down_block_types=blocks("Down"),
        up_block_types=blocks("Up")[::-1],
        mid_block_type="UNetMidBlock2DCrossAttn",
        cross_attention_dim=plan.context,
        transformer_layers_per_block=plan.depth,
        attention_head_dim=list(plan.heads),  # the number of heads, under its old name
        num_class_embeds=plan.classes,
        use_linear_projection=plan.linear,
    )
    return network


def _common(plan: UNetPlan) -> dict[str, Any]:
    return {
        "sample_size": plan.size,
        "in_channels": plan.in_channels,
        "out_channels": plan.out_channels,
        "block_out_channels": list(plan.widths),
        "layers_per_block": plan.layers,
        "resnet_time_scale_shift": plan.shift,
        "norm_eps": 1e-5,
        "norm_num_groups": 32,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
    }


def _sources(plan: UNetPlan) -> dict[str, Source]:
    found = {
        "conv_in": Source("input_blocks.0.0"),
        "time_embedding.linear_1": Source("time_embed.0"),
        "time_embedding.linear_2": Source("time_embed.2"),
        "class_embedding": Source("label_emb"),
        "conv_norm_out": Source("out.0"),
        "conv_out": Source("out.2"),
    }
    found |= _resnet("mid_block.resnets.0", "middle_block.0")
    found |= _attention("mid_block.attentions.0", "middle_block.1", plan, plan.middle_heads)
    found |= _resnet("mid_block.resnets.1", "middle_block.2")
    return found | _down(plan) | _up(plan)


def _down(plan: UNetPlan) -> dict[str, Source]:
    found: dict[str, Source] = {}
    i = 0
    for level in range(len(plan.widths)):
        block = f"down_blocks.{level}"
        for j in range(plan.layers):
            i += 1
            found |= _resnet(f"{block}.resnets.{j}", f"input_blocks.{i}.0")
            if plan.attends[level]:
                new = f"{block}.attentions.{j}"
                found |= _attention(new, f"input_blocks.{i}.1", plan, plan.heads[level])
        if level + 1 < len(plan.widths):
            i += 1
            found |= _resample(f"{block}.downsamplers.0", f"input_blocks.{i}.0", plan, "op")
    return found


def _up(plan: UNetPlan) -> dict[str, Source]:
    found: dict[str, Source] = {}
    i = 0
    for block_index, level in enumerate(reversed(range(len(plan.widths)))):
        block = f"up_blocks.{block_index}"
        for j in range(plan.layers + 1):
            old = f"output_blocks.{i}"
            found |= _resnet(f"{block}.resnets.{j}", f"{old}.0")
            if plan.attends[level]:
                new = f"{block}.attentions.{j}"
                found |= _attention(new, f"{old}.1", plan, plan.heads[level])
            if level > 0 and j == plan.layers:
                place = 2 if plan.attends[level] else 1
                found |= _resample(f"{block}.upsamplers.0", f"{old}.{place}", plan, "conv")
            i += 1
    return found


def _resnet(new: str, old: str) -> dict[str, Source]:
    return {f"{new}.{ours}": Source(f"{old}.{theirs}") for ours, theirs in _RESNET.items()}


def _resample(new: str, old: str, plan: UNetPlan, name: str) -> dict[str, Source]:
    if plan.resample == "resnet":
        return _resnet(new, old)
    return {f"{new}.conv": Source(f"{old}.{name}")}


def _attention(new: str, old: str, plan: UNetPlan, heads: int) -> dict[str, Source]:
    if plan.context:  # a spatial transformer, named alike in both
        return {new: Source(old)}
    grouped = 1 if plan.joint_order else heads
    parts = {f"{new}.to_{n}": Source(f"{old}.qkv", i, grouped) for i, n in enumerate("qkv")}
    norm = {f"{new}.group_norm": Source(f"{old}.norm")}
    return parts | norm | {f"{new}.to_out.0": Source(f"{old}.proj_out")}
