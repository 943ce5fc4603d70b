"""The networks of the CompVis zoo that diffusers has no class for, each the smallest addition."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, ModelMixin, UNet2DModel
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.attention_processor import Attention
from torch import nn

__all__ = ["ClassEmbedder", "HeadsUNet2DModel", "ProjectedAutoencoderKL", "SpatialRescaler"]


class HeadsUNet2DModel(UNet2DModel):  # type: ignore[misc]
    """`UNet2DModel` with a fixed number of attention heads at every width.

    diffusers fixes the width of a head instead; LDMs trained with `num_heads` (churches,
    inpainting) have wider heads at wider levels.

    Args:
        num_heads: heads of every self-attention.
        base: arguments of `UNet2DModel`.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, num_heads: int = 1, base: dict[str, Any] | None = None) -> None:
        super().__init__(**(base or {}))
        self.register_to_config(num_heads=num_heads, base=base or {})
        for module in self.modules():
            if isinstance(module, Attention):
                module.heads = num_heads
                module.scale = (module.inner_dim // num_heads) ** -0.5


class ProjectedAutoencoderKL(AutoencoderKL):  # type: ignore[misc]
    """`AutoencoderKL` whose latent has another width than its encoder's output (embed_dim).

    Args:
        embed_dim: channels of the latent; `latent_channels` of the base are z_channels.
        base: arguments of `AutoencoderKL`.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, embed_dim: int = 4, base: dict[str, Any] | None = None) -> None:
        super().__init__(**(base or {}))
        self.register_to_config(embed_dim=embed_dim, base=base or {})
        width = self.config.latent_channels
        self.quant_conv = nn.Conv2d(2 * width, 2 * embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(embed_dim, width, 1)


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
