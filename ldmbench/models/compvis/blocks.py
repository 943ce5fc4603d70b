"""Parts of CompVis networks that diffusers' blocks lack, as resampling with a time embedding."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

__all__ = ["LinearAttention", "Pool", "Repeat", "TanhConv", "TimedBlock", "pooled", "timed"]


class LinearAttention(nn.Module):
    """Attention linear in the number of places, one head (arXiv:1812.01243), as CompVis has it.

    Unlike softmax attention it has no norm and no residual connection.

    Args:
        channels: of its input and of its head.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.to_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor, temb: torch.Tensor | None = None) -> torch.Tensor:
        """Mix x (B, C, h, w) over its places; temb is not used."""
        q, k, v = self.to_qkv(x).flatten(2).chunk(3, dim=1)
        mixed = torch.einsum("bdn,ben->bde", k.softmax(dim=-1), v)
        out: torch.Tensor = self.to_out(torch.einsum("bde,bdn->ben", mixed, q).reshape(x.shape))
        return out


class TanhConv(nn.Conv2d):
    """A convolution and a tanh."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return values in (-1, 1)."""
        return torch.tanh(super().forward(x))


class Pool(nn.Module):
    """Half the size by 2x2 means."""

    def forward(self, x: torch.Tensor, *unused: object) -> torch.Tensor:
        """Return (B, C, h / 2, w / 2)."""
        return nn.functional.avg_pool2d(x, 2)


class Repeat(nn.Module):
    """Twice the size by repeating."""

    def forward(self, x: torch.Tensor, *unused: object) -> torch.Tensor:
        """Return (B, C, 2h, 2w)."""
        return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


class TimedBlock(nn.Module):
    """One level of a conditional UNet whose resampling takes the time embedding.

    It takes over the parts of a diffusers block, under the same names.

    Args:
        block: CrossAttn...Block2D or a block without attention.
        way: "down" or "up".
        resample: residual block that halves or doubles, or None at the last level.
    """

    has_cross_attention = True

    def __init__(self, block: Any, way: str, resample: nn.Module | None) -> None:
        super().__init__()
        self.way = way
        self.resnets = block.resnets
        self.attentions: nn.ModuleList | None = getattr(block, "attentions", None)
        found = None if resample is None else nn.ModuleList([resample])
        self.downsamplers: nn.ModuleList | None = found if way == "down" else None
        self.upsamplers: nn.ModuleList | None = found if way == "up" else None

    def forward(
        self,
        hidden_states: torch.Tensor,
        temb: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        res_hidden_states_tuple: tuple[torch.Tensor, ...] = (),
        **unused: object,
    ) -> Any:
        """Return h on the way up; h and the states that the way up will take on the way down."""
        h, states = hidden_states, []
        left = list(res_hidden_states_tuple)
        for i, resnet in enumerate(self.resnets):
            h = resnet(torch.cat([h, left.pop()], dim=1) if self.way == "up" else h, temb)
            if self.attentions is not None:
                h = self.attentions[i](h, encoder_hidden_states=encoder_hidden_states).sample
            states.append(h)
        for resample in self.downsamplers or self.upsamplers or ():
            h = resample(h, temb)
            states.append(h)
        return (h, tuple(states)) if self.way == "down" else h


def timed(block: Any, way: str, *, temb: int, config: Any) -> nn.Module | None:
    """Return the residual block that takes the place of a block's resampling convolution."""
    if not getattr(block, f"{way}samplers", None):
        return None
    width = block.resnets[-1].out_channels
    made: nn.Module = ResnetBlock2D(
        in_channels=width,
        out_channels=width,
        temb_channels=temb,
        eps=config.norm_eps,
        groups=config.norm_num_groups,
        time_embedding_norm=config.resnet_time_scale_shift,
        dropout=config.dropout,
        **{way: True},
    )
    return made


def pooled(network: nn.Module) -> None:
    """Replace all resampling convolutions of a network by pooling and repeating."""
    for holder in list(network.modules()):
        for name, made in (("downsamplers", Pool), ("upsamplers", Repeat)):
            if getattr(holder, name, None):
                setattr(holder, name, nn.ModuleList([made()]))
