"""UNets that are trained here: diffusers' UNet2DModel and UNet2DConditionModel.

arXiv:2112.10752, sections 3.2 and 3.3.
"""

from __future__ import annotations

import math
from typing import Any

from diffusers import UNet2DConditionModel, UNet2DModel

from ldmbench.errors import InputError
from ldmbench.schema.models import DenoiserParams

__all__ = ["build_unet", "default_multipliers"]


def default_multipliers(latent_size: int) -> tuple[int, ...]:
    """Return widths per level: halve down to a side of 4 at least, and end at 4 x channels.

    The deepest levels hold nearly all weights, so models on latents of different f have about the
    same number of parameters, as those the paper compares (Table 12).
    """
    levels = 1
    while latent_size % 2 == 0 and latent_size > 4:
        latent_size //= 2
        levels += 1
    if levels == 1 and latent_size == 4:
        return (2, 4)
    return ((1,) * 8 + (1, 2, 2, 4))[-levels:] if levels > 3 else (1, 2, 4)[-levels:]


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
    widths = tuple(params.channels * m for m in multipliers)
    attended = [side in params.attention_sizes for side in sides]
    shared: dict[str, Any] = {
        "sample_size": side,
        "in_channels": channels + joined,
        "out_channels": channels,
        "block_out_channels": widths,
        "layers_per_block": params.blocks,
        "norm_num_groups": math.gcd(32, params.channels),
    }
    head = math.gcd(32, params.channels)
    if not params.attends:
        return UNet2DModel(
            **shared,
            num_class_embeds=classes + 1 if classes else None,
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attended),
            up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in attended[::-1]),
            attention_head_dim=head,
        )
    return UNet2DConditionModel(
        **shared,
        down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attended),
        up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in attended[::-1]),
        cross_attention_dim=context or params.context_channels,
        # diffusers takes the number of heads under this name
        attention_head_dim=tuple(width // head for width in widths),
    )
