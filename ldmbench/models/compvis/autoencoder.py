"""CompVis first stages (VQModel, AutoencoderKL and their interfaces) as diffusers networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ldmbench.models.weights import Source, Tensors, fill
from ldmbench.sources.models.compvis_rules import attention_kind

__all__ = ["first_stage"]

_RESNET = {"conv_shortcut": "nin_shortcut"}
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def first_stage(
    kind: str, params: Mapping[str, Any], tensors: Tensors, *, where: str, scale: float = 1.0
) -> nn.Module:
    """Build a first stage and fill it.

    Args:
        kind: "vq" or "kl".
        params: `params` of the first stage's config (embed_dim, ddconfig, n_embed).
        tensors: its part of the checkpoint; losses, discriminators and statistics may be there.
        where: said in messages.
        scale: written into the config as scaling_factor; the network itself does not use it.

    Raises:
        InputError: the config names something diffusers cannot build, or does not fit.
    """
    dd = params["ddconfig"]
    with torch.device("meta"):
        network = _build(kind, params, dd, scale)
    sources = _sources(dd, linear=attention_kind(dd) == "linear")
    fill(network, tensors, sources, where=where, ignore=_ignored)
    return network.eval().requires_grad_(False)


def _ignored(name: str) -> bool:
    heads = ("loss.", "model_ema.", "colorize", "quantize.used", "quantize.embed_prob")
    return name.startswith(heads)


def _build(kind: str, params: Mapping[str, Any], dd: Mapping[str, Any], scale: float) -> nn.Module:
    from diffusers import AutoencoderKL, VQModel

    from ldmbench.models.compvis.networks import ProjectedAutoencoderKL, VariantVQModel

    config = _config(dd) | {"scaling_factor": scale}
    embed, z = int(params.get("embed_dim", dd["z_channels"])), int(dd["z_channels"])
    variant = {
        "linear_attention": attention_kind(dd) == "linear",
        "conv_resample": bool(dd.get("resamp_with_conv", True)),
        "tanh_out": bool(dd.get("tanh_out", False)),
    }
    usual = variant == {"linear_attention": False, "conv_resample": True, "tanh_out": False}
    network: nn.Module
    if kind == "vq":
        config |= {"num_vq_embeddings": int(params["n_embed"]), "vq_embed_dim": embed}
        network = VQModel(**config) if usual else VariantVQModel(**variant, base=config)
    elif embed != z or not usual:
        network = ProjectedAutoencoderKL(embed_dim=embed, **variant, base=config)
    else:
        network = AutoencoderKL(**config)
    return network


def _config(dd: Mapping[str, Any]) -> dict[str, Any]:
    attends = _attention_levels(dd)
    return {
        "in_channels": int(dd.get("in_channels", 3)),
        "out_channels": int(dd.get("out_ch", 3)),
        "down_block_types": [
            "AttnDownEncoderBlock2D" if a else "DownEncoderBlock2D" for a in attends
        ],
        "up_block_types": [
            "AttnUpDecoderBlock2D" if a else "UpDecoderBlock2D" for a in reversed(attends)
        ],
        "block_out_channels": [int(dd["ch"]) * int(m) for m in dd["ch_mult"]],
        "layers_per_block": int(dd["num_res_blocks"]),
        "latent_channels": int(dd["z_channels"]),
        "sample_size": int(dd.get("resolution", 256)),
        "norm_num_groups": 32,
        "mid_block_add_attention": attention_kind(dd) != "none",
    }


def _attention_levels(dd: Mapping[str, Any]) -> list[bool]:
    """Say at which levels attention stands: by the resolution there, as the original does."""
    wanted = {int(r) for r in dd.get("attn_resolutions") or ()}
    if attention_kind(dd) == "none":
        wanted = set()
    size = int(dd.get("resolution", 256))
    return [size // 2**level in wanted for level in range(len(dd["ch_mult"]))]


def _sources(dd: Mapping[str, Any], *, linear: bool) -> dict[str, Source]:
    attention = {} if linear else _ATTENTION  # the linear one is named alike
    levels, layers = len(dd["ch_mult"]), int(dd["num_res_blocks"])
    names: dict[str, str] = {}
    for side, old, count in (("encoder", "down", layers), ("decoder", "up", layers + 1)):
        names[f"{side}.conv_norm_out"] = f"{side}.norm_out"
        _pair(names, f"{side}.mid_block.resnets.0", f"{side}.mid.block_1", _RESNET)
        _pair(names, f"{side}.mid_block.attentions.0", f"{side}.mid.attn_1", attention)
        _pair(names, f"{side}.mid_block.resnets.1", f"{side}.mid.block_2", _RESNET)
        for level in range(levels):
            block = level if old == "down" else levels - 1 - level
            new = f"{side}.{old}_blocks.{block}"
            theirs = f"{side}.{old}.{level}"
            names[f"{new}.{old}samplers.0"] = f"{theirs}.{old}sample"
            for i in range(count):
                _pair(names, f"{new}.resnets.{i}", f"{theirs}.block.{i}", _RESNET)
                _pair(names, f"{new}.attentions.{i}", f"{theirs}.attn.{i}", attention)
    return {new: Source(old) for new, old in names.items()}


def _pair(names: dict[str, str], new: str, old: str, parts: Mapping[str, str]) -> None:
    names[new] = old
    for ours, theirs in parts.items():
        names[f"{new}.{ours}"] = f"{old}.{theirs}"
