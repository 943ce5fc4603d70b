"""CompVis and guided-diffusion UNets (openaimodel.UNetModel) as diffusers networks."""

from __future__ import annotations

import math

import torch
from torch import nn

from ldmbench.errors import InputError
from ldmbench.models.weights import Source, Tensors, fill
from ldmbench.sources.models.compvis_plan import UNetPlan

__all__ = ["build_unet"]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def build_unet(plan: UNetPlan, tensors: Tensors, *, where: str) -> nn.Module:
    """Build the diffusers network of a plan and fill it with the checkpoint's tensors.

    Raises:
        InputError: keys are missing, left over or of another shape.
    """
    with torch.device("meta"):
        network = _conditional(plan) if plan.context else _plain(plan)
    fill(network, tensors, _sources(plan), where=where)
    return network.eval().requires_grad_(False)


def _plain(plan: UNetPlan) -> nn.Module:
    from diffusers import UNet2DModel

    from ldmbench.models.compvis.networks import HeadsUNet2DModel

    used = {h for h, a in zip(plan.heads, plan.attends) if a} | {plan.middle_heads}
    upward = {h for h, a in zip(plan.up_heads, plan.attends) if a}
    dims = {w // h for w, h, a in zip(plan.widths, plan.heads, plan.attends) if a}
    dims.add(plan.widths[-1] // plan.middle_heads)
    config = _common(plan) | {
        "down_block_types": [_plain_block(plan, i, "Down") for i in range(len(plan.widths))],
        "up_block_types": [_plain_block(plan, i, "Up") for i in range(len(plan.widths))][::-1],
        "downsample_type": _kept(plan),
        "upsample_type": _kept(plan),
        "num_class_embeds": plan.classes,
        "attention_head_dim": math.gcd(*dims),  # divides every level; ours then sets the heads
        "attn_norm_num_groups": 32,  # else scale_shift leaves the middle attention without a norm
    }
    variant: dict[str, object] = {}
    if plan.time != plan.widths[0]:
        config["time_embedding_dim"] = 4 * plan.time
        variant["time_channels"] = plan.time
    if plan.resample == "pool":
        variant["conv_resample"] = False
    if plan.up_heads != plan.heads and upward:
        variant["up_heads"] = upward.pop()
    if len(dims) > 1 and len(used) > 1:
        raise InputError(
            f"heads {sorted(used)} of widths {sorted(dims)} are not supported together"
        )
    network: nn.Module
    if len(dims) == 1 and not variant:
        network = UNet2DModel(**config)
    else:
        fixed = used.pop() if len(used) == 1 else None
        network = HeadsUNet2DModel(num_heads=fixed, **variant, base=config)
    return network


def _kept(plan: UNetPlan) -> str:
    """Return the resampling that diffusers builds, which ours may replace."""
    return "conv" if plan.resample == "pool" else plan.resample


def _plain_block(plan: UNetPlan, level: int, way: str) -> str:
    if plan.attends[level]:
        return f"Attn{way}Block2D"
    return f"Resnet{way}sampleBlock2D" if plan.resample == "resnet" else f"{way}Block2D"


def _conditional(plan: UNetPlan) -> nn.Module:
    from diffusers import UNet2DConditionModel

    from ldmbench.models.compvis.networks import ResampledUNet2DConditionModel

    def blocks(way: str) -> list[str]:
        return [f"CrossAttn{way}Block2D" if a else f"{way}Block2D" for a in plan.attends]

    config = _common(plan) | {
        "down_block_types": blocks("Down"),
        "up_block_types": blocks("Up")[::-1],
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "cross_attention_dim": plan.context,
        "transformer_layers_per_block": plan.depth,
        "attention_head_dim": list(plan.heads),  # the number of heads, under its old name
        "num_class_embeds": plan.classes,
        "use_linear_projection": plan.linear,
    }
    network: nn.Module
    if plan.resample == "conv":
        network = UNet2DConditionModel(**config)
    else:
        network = ResampledUNet2DConditionModel(resample=plan.resample, base=config)
    return network


def _common(plan: UNetPlan) -> dict[str, object]:
    return {
        "sample_size": plan.size[0] if len(set(plan.size)) == 1 else list(plan.size),
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
                found |= _attention(new, f"{old}.1", plan, plan.up_heads[level])
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
