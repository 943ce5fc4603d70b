"""The networks of the CompVis zoo that diffusers has no class for, each the smallest addition."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, ModelMixin, UNet2DConditionModel, UNet2DModel, VQModel
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import nn

from ldmbench.models.compvis.blocks import LinearAttention, TanhConv, TimedBlock, pooled, timed

__all__ = [
    "ClassEmbedder",
    "HeadsUNet2DModel",
    "ProjectedAutoencoderKL",
    "ResampledUNet2DConditionModel",
    "SpatialRescaler",
    "VariantVQModel",
]


class HeadsUNet2DModel(UNet2DModel):  # type: ignore[misc]
    """`UNet2DModel` with a fixed number of attention heads at every width, and other variants.

    diffusers fixes the width of a head instead; LDMs trained with `num_heads` (churches,
    inpainting) have wider heads at wider levels.

    Args:
        num_heads: heads of every self-attention; None leaves the base's.
        up_heads: heads on the way up, where they differ (num_heads_upsample).
        time_channels: width of the sinusoidal embedding, where the first level has another;
            the base then has time_embedding_dim.
        conv_resample: False pools and repeats instead of convolving.
        base: arguments of `UNet2DModel`.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        num_heads: int | None = 1,
        up_heads: int | None = None,
        time_channels: int | None = None,
        conv_resample: bool = True,
        base: dict[str, object] | None = None,
    ) -> None:
        super().__init__(**(base or {}))
        self.register_to_config(
            num_heads=num_heads,
            up_heads=up_heads,
            time_channels=time_channels,
            conv_resample=conv_resample,
            base=base or {},
        )
        _set_heads(self, num_heads)
        _set_heads(self.up_blocks, up_heads)
        if time_channels is not None:
            self.time_proj = Timesteps(time_channels, True, 0)
            width = (base or {})["time_embedding_dim"]
            self.time_embedding = TimestepEmbedding(time_channels, width)
        if not conv_resample:
            pooled(self)


class ResampledUNet2DConditionModel(UNet2DConditionModel):  # type: ignore[misc]
    """`UNet2DConditionModel` whose resampling is by residual blocks or without convolutions.

    diffusers' blocks with spatial transformers only convolve there; CompVis' take
    `resblock_updown` and `conv_resample: false`.

    Args:
        resample: "resnet" for residual blocks, "pool" for pooling and repeating.
        base: arguments of `UNet2DConditionModel`.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, resample: str = "resnet", base: dict[str, object] | None = None) -> None:
        super().__init__(**(base or {}))
        self.register_to_config(resample=resample, base=base or {})
        if resample == "pool":
            pooled(self)
        else:
            sizes = {"temb": self.time_embedding.linear_2.out_features, "config": self.config}
            ways = (("down", self.down_blocks), ("up", self.up_blocks))
            for way, blocks in ways:
                for i, block in enumerate(blocks):
                    blocks[i] = TimedBlock(block, way, timed(block, way, **sizes))


class ProjectedAutoencoderKL(AutoencoderKL):  # type: ignore[misc]
    """`AutoencoderKL` whose latent has another width than its encoder's output (embed_dim).

    Args:
        embed_dim: channels of the latent; `latent_channels` of the base are z_channels.
        linear_attention: attention is linear in the number of places (attn_type: linear).
        conv_resample: False pools and repeats instead of convolving.
        tanh_out: images go through a tanh.
        base: arguments of `AutoencoderKL`.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        embed_dim: int = 4,
        linear_attention: bool = False,
        conv_resample: bool = True,
        tanh_out: bool = False,
        base: dict[str, object] | None = None,
    ) -> None:
        super().__init__(**(base or {}))
        variant = {
            "linear_attention": linear_attention,
            "conv_resample": conv_resample,
            "tanh_out": tanh_out,
        }
        self.register_to_config(embed_dim=embed_dim, **variant, base=base or {})
        width = self.config.latent_channels
        self.quant_conv = nn.Conv2d(2 * width, 2 * embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(embed_dim, width, 1)
        _vary(self, **variant)


class VariantVQModel(VQModel):  # type: ignore[misc]
    """`VQModel` with linear attention, resampling without convolutions, or a tanh at its end.

    Args:
        linear_attention: as `ProjectedAutoencoderKL`.
        conv_resample: as there.
        tanh_out: as there.
        base: arguments of `VQModel`.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        linear_attention: bool = False,
        conv_resample: bool = True,
        tanh_out: bool = False,
        base: dict[str, object] | None = None,
    ) -> None:
        super().__init__(**(base or {}))
        variant = {
            "linear_attention": linear_attention,
            "conv_resample": conv_resample,
            "tanh_out": tanh_out,
        }
        self.register_to_config(**variant, base=base or {})
        _vary(self, **variant)


def _set_heads(network: nn.Module, heads: int | None) -> None:
    for module in network.modules():
        if heads is not None and isinstance(module, Attention):
            module.heads = heads
            module.scale = (module.inner_dim // heads) ** -0.5


def _vary(network: Any, *, linear_attention: bool, conv_resample: bool, tanh_out: bool) -> None:
    """Change a built first stage as its options say."""
    for side in (network.encoder, network.decoder):
        for holder in list(side.modules()) if linear_attention else []:
            for i, old in enumerate(getattr(holder, "attentions", None) or []):
                holder.attentions[i] = LinearAttention(old.query_dim)
        if not conv_resample:
            pooled(side)
    if tanh_out:
        old = network.decoder.conv_out
        network.decoder.conv_out = TanhConv(old.in_channels, old.out_channels, 3, padding=1)


class ClassEmbedder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A class label as one cross-attention token.

    Args:
        n_classes: rows of the table, the null class included.
        embed_dim: width of the context.
        null_class: row that stands for no class, or None.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self, n_classes: int = 1000, embed_dim: int = 512, null_class: int | None = None
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_classes, embed_dim)

    def forward(self, labels: torch.Tensor) -> torch.Tensor:
        """Return (B, 1, embed_dim) for labels (B,) int64."""
        context: torch.Tensor = self.embedding(labels)[:, None]
        return context


class SpatialRescaler(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A map at image size, resized to the latent's size and perhaps projected.

    Args:
        n_stages: how often it is resized.
        method: mode of `torch.nn.functional.interpolate`.
        multiplier: factor of one resize.
        in_channels: channels of the map.
        out_channels: channels after a 1x1 convolution; None leaves the resized map.
        bias: whether the convolution has a bias.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        n_stages: int = 1,
        method: str = "bilinear",
        multiplier: float = 0.5,
        in_channels: int = 3,
        out_channels: int | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.channel_mapper = (
            None if out_channels is None else nn.Conv2d(in_channels, out_channels, 1, bias=bias)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Resize x (B, C, H, W), float."""
        for _ in range(self.config.n_stages):
            x = nn.functional.interpolate(
                x, scale_factor=self.config.multiplier, mode=self.config.method
            )
        return x if self.channel_mapper is None else self.channel_mapper(x)
