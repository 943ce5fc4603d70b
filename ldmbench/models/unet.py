"""UNets that are trained here: diffusers' UNet2DModel and UNet2DConditionModel.

arXiv:2112.10752, sections 3.2 and 3.3. A number of heads without cross-attention, and residual
blocks that resample with it, need the classes that CompVis' checkpoints need too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from diffusers import UNet2DConditionModel, UNet2DModel

from ldmbench.errors import InputError
from ldmbench.models.compvis.networks import HeadsUNet2DModel, ResampledUNet2DConditionModel
from ldmbench.schema.models import DenoiserParams
from ldmbench.schema.networks import default_multipliers

__all__ = ["build_unet"]


def build_unet(
    params: DenoiserParams,
    *,
    channels: int,
    side: int,
    classes: int,
    joined: int = 0,
    context: int = 0,
) -> Any:
    """Return a UNet with fresh weights.

    Args:
        params: widths, blocks and attention.
        channels: of a latent, in and out.
        side: h = w of a latent.
        classes: labels that join the time embedding, beside that of no class; 0: there are none.
        joined: channels of the condition that join a latent.
        context: width of what is attended to; 0: `params.context_channels`.

    Raises:
        InputError: if the multipliers halve the latent more often than its side allows.
    """
    multipliers = params.multipliers or default_multipliers(side)
    sides = [side >> level for level in range(len(multipliers))]
    if sides[-1] << (len(sides) - 1) != side:
        raise InputError(
            f"denoiser.multipliers has {len(sides)} levels, which a latent of {side} x {side} "
            "cannot be halved into; give fewer, or leave it unset"
        )
    widths = [params.channels * m for m in multipliers]
    attended = [side in params.attention_sizes for side in sides]
    shared: dict[str, Any] = {
        "sample_size": side,
        "in_channels": channels + joined,
        "out_channels": channels,
        "block_out_channels": widths,
        "layers_per_block": params.blocks,
        "norm_num_groups": math.gcd(32, params.channels),
    }
    if params.dropout:
        shared["dropout"] = params.dropout
    if params.scale_shift:
        shared["resnet_time_scale_shift"] = "scale_shift"
    if params.attends:
        return _crossed(params, shared, attended, context or params.context_channels)
    return _plain(params, shared | {"num_class_embeds": classes + 1 if classes else None}, attended)


def _plain(params: DenoiserParams, shared: dict[str, Any], attended: Sequence[bool]) -> Any:
    """Return a UNet without cross-attention."""
    down, up = ("DownBlock2D", "UpBlock2D")
    if params.resblock_updown:
        shared |= {"downsample_type": "resnet", "upsample_type": "resnet"}
        down, up = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D")
    if params.scale_shift:  # else the middle attention has no norm
        shared["attn_norm_num_groups"] = shared["norm_num_groups"]
    widths = [w for w, a in zip(shared["block_out_channels"], attended, strict=True) if a]
    base = shared | {
        "down_block_types": ["AttnDownBlock2D" if a else down for a in attended],
        "up_block_types": ["AttnUpBlock2D" if a else up for a in attended[::-1]],
        "attention_head_dim": _head_channels(params),
    }
    if params.heads is None:
        return UNet2DModel(**base)
    base["attention_head_dim"] = math.gcd(*widths, shared["block_out_channels"][-1])
    return HeadsUNet2DModel(num_heads=params.heads, base=base)


def _crossed(
    params: DenoiserParams, shared: dict[str, Any], attended: Sequence[bool], context: int
) -> Any:
    """Return a UNet with cross-attention to a sequence of width `context`."""
    head = _head_channels(params)
    base = shared | {
        "down_block_types": ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attended],
        "up_block_types": ["CrossAttnUpBlock2D" if a else "UpBlock2D" for a in attended[::-1]],
        "cross_attention_dim": context,
        # diffusers takes the number of heads under this name
        "attention_head_dim": [
            params.heads or width // head for width in shared["block_out_channels"]
        ],
    }
    if params.transformer_depth > 1:
        base["transformer_layers_per_block"] = params.transformer_depth
    if params.resblock_updown:
        return ResampledUNet2DConditionModel(resample="resnet", base=base)
    return UNet2DConditionModel(**base)


def _head_channels(params: DenoiserParams) -> int:
    """Return the channels of a head, where no number of heads is stated."""
    return params.head_channels or math.gcd(32, params.channels)
