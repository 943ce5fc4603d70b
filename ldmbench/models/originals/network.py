"""The transformer of DiT, SiT, REPA and LightningDiT, under the names of their checkpoints.

arXiv:2212.09748 (DiT, adaLN-Zero), arXiv:2401.08740 (SiT), arXiv:2410.06940 (REPA),
arXiv:2501.01423 (LightningDiT). diffusers' DiTTransformer2DModel spaces the frequencies of its
timestep embedding otherwise, so its outputs are not those of the original.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ModulatedTransformer2DModel"]

_EPS = 1e-6
_HEAD_EPS = 1e-5
"""Of the LayerNorm of queries and keys, torch's own."""
_LONGEST_PERIOD = 10_000


class Predicted(NamedTuple):
    """What the network returns, (B, out_channels, h, w)."""

    sample: Tensor


class ModulatedTransformer2DModel(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A transformer on patches of a latent, whose blocks are modulated by time and class.

    Args:
        sample_size: side of the latent; others have no place in the position embedding.
        in_channels: C.
        out_channels: C, or 2C with a variance.
        patch_size: side of a patch.
        width: of a token.
        depth: blocks.
        num_heads: of the attention.
        hidden: width of the feed-forward layer.
        frequencies: width of the sinusoidal embedding of time.
        table: rows of the class table, the null class included.
        num_embeds_ada_norm: classes.
        swiglu: the feed-forward layer is SwiGLU, not GELU.
        rms: norms are RMSNorm with weights, not LayerNorm without.
        qk_norm: queries and keys are normalised, by the same kind of norm with weights.
        rope: rotary positions, too; the weights hold their tables.
        shifts: blocks are shifted, not only scaled (LightningDiT's `wo_shift` is the opposite).
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        sample_size: int = 32,
        in_channels: int = 4,
        out_channels: int = 8,
        patch_size: int = 2,
        width: int = 1152,
        depth: int = 28,
        num_heads: int = 16,
        hidden: int = 4608,
        frequencies: int = 256,
        table: int = 1001,
        num_embeds_ada_norm: int = 1000,
        swiglu: bool = False,
        rms: bool = False,
        qk_norm: bool = False,
        rope: bool = False,
        shifts: bool = True,
    ) -> None:
        super().__init__()
        places = (sample_size // patch_size) ** 2
        self.x_embedder = _Patches(in_channels, width, patch_size)
        self.t_embedder = _Time(frequencies, width)
        self.y_embedder = _Classes(table, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, places, width), requires_grad=False)
        if rope:
            self.feat_rope = _Rotary(places, width // num_heads)
        self.blocks = nn.ModuleList(
            _Block(width, num_heads, hidden, swiglu=swiglu, rms=rms, qk_norm=qk_norm, shifts=shifts)
            for _ in range(depth)
        )
        self.final_layer = _Final(width, patch_size**2 * out_channels, rms=rms)

    def forward(
        self, z: Tensor, t: Tensor, class_labels: Tensor, return_dict: bool = True
    ) -> Predicted:
        """Return what the source's network returns, as a tuple of one that has a name, too.

        Args:
            z: (B, C, h, w).
            t: (B,), the source's own time.
            class_labels: (B,) int64.
            return_dict: as networks of diffusers have it; it changes nothing.
        """
        tokens = self.x_embedder(z) + self.pos_embed
        condition = self.t_embedder(t, tokens.dtype) + self.y_embedder(class_labels)
        turn = self.feat_rope if self.config.rope else None
        for block in self.blocks:
            tokens = block(tokens, condition, turn)
        return Predicted(self._image(self.final_layer(tokens, condition)))

    def _image(self, tokens: Tensor) -> Tensor:
        """Return patches (B, n, p p C) as an image."""
        side, p = self.config.sample_size // self.config.patch_size, self.config.patch_size
        grid = tokens.reshape(len(tokens), side, side, p, p, self.config.out_channels)
        return grid.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


class _Patches(nn.Module):
    """An image to tokens (B, n, width)."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, stride=patch)

    def forward(self, z: Tensor) -> Tensor:
        tokens: Tensor = self.proj(z)
        return tokens.flatten(2).transpose(1, 2)


class _Time(nn.Module):
    """Time (B,) to (B, width): cosines, then sines, then two layers."""

    def __init__(self, frequencies: int, width: int) -> None:
        super().__init__()
        self.bands = frequencies // 2
        self.mlp = nn.Sequential(nn.Linear(frequencies, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        exponents = torch.arange(self.bands, dtype=torch.float32, device=t.device) / self.bands
        angles = t[:, None].float() * torch.exp(-math.log(_LONGEST_PERIOD) * exponents)
        found: Tensor = self.mlp(torch.cat([angles.cos(), angles.sin()], dim=1).to(dtype))
        return found


class _Classes(nn.Module):
    """Labels (B,) to (B, width)."""

    def __init__(self, table: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(table, width)

    def forward(self, labels: Tensor) -> Tensor:
        found: Tensor = self.embedding_table(labels)
        return found


class _Rotary(nn.Module):
    """Rotary positions (arXiv:2104.09864): tables (n, head width), pairs beside each other."""

    def __init__(self, places: int, width: int) -> None:
        super().__init__()
        self.freqs_cos: Tensor
        self.freqs_sin: Tensor
        self.register_buffer("freqs_cos", torch.zeros(places, width))
        self.register_buffer("freqs_sin", torch.zeros(places, width))

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
        turned = torch.stack([-second, first], dim=-1).flatten(-2)
        return x * self.freqs_cos + turned * self.freqs_sin


class _RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps), times weights (arXiv:1910.07467)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + _EPS)).to(x) * self.weight


def _norm(width: int, *, rms: bool) -> nn.Module:
    return _RMSNorm(width) if rms else nn.LayerNorm(width, eps=_EPS, elementwise_affine=False)


class _Attention(nn.Module):
    """Self-attention of all tokens."""

    def __init__(self, width: int, heads: int, *, rms: bool, qk_norm: bool) -> None:
        super().__init__()
        self.heads, head = heads, width // heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        if qk_norm:
            self.q_norm = _RMSNorm(head) if rms else nn.LayerNorm(head, eps=_HEAD_EPS)
            self.k_norm = _RMSNorm(head) if rms else nn.LayerNorm(head, eps=_HEAD_EPS)
        self.normed = qk_norm

    def forward(self, x: Tensor, turn: nn.Module | None) -> Tensor:
        batch, places, width = x.shape
        split = self.qkv(x).reshape(batch, places, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        if self.normed:
            query, key = self.q_norm(query), self.k_norm(key)
        if turn is not None:
            query, key = turn(query), turn(key)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        found: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return found


class _Gelu(nn.Module):
    """Two layers with a GELU (its tanh form) between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc2(functional.gelu(self.fc1(x), approximate="tanh"))
        return found


class _SwiGLU(nn.Module):
    """silu(gate) value, then a layer (arXiv:2002.05202); gate and value are one layer."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w12, self.w3 = nn.Linear(width, 2 * hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.w12(x).chunk(2, dim=-1)
        found: Tensor = self.w3(functional.silu(gate) * value)
        return found


class _Block(nn.Module):
    """Attention and a feed-forward layer; time and class scale, shift and gate both."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        swiglu: bool,
        rms: bool,
        qk_norm: bool,
        shifts: bool,
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(width, rms=rms), _norm(width, rms=rms)
        self.attn = _Attention(width, heads, rms=rms, qk_norm=qk_norm)
        self.mlp = _SwiGLU(width, hidden) if swiglu else _Gelu(width, hidden)
        self.parts = 6 if shifts else 4
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, self.parts * width))

    def forward(self, x: Tensor, condition: Tensor, turn: nn.Module | None) -> Tensor:
        parts = self.adaLN_modulation(condition)[:, None].chunk(self.parts, dim=-1)
        if self.parts == 4:
            scale, gate, scale2, gate2 = parts
            x = x + gate * self.attn(self.norm1(x) * (1 + scale), turn)
            mixed: Tensor = x + gate2 * self.mlp(self.norm2(x) * (1 + scale2))
            return mixed
        shift, scale, gate, shift2, scale2, gate2 = parts
        x = x + gate * self.attn(self.norm1(x) * (1 + scale) + shift, turn)
        mixed = x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)
        return mixed


class _Final(nn.Module):
    """Tokens to patches."""

    def __init__(self, width: int, out: int, *, rms: bool) -> None:
        super().__init__()
        self.norm_final = _norm(width, rms=rms)
        self.linear = nn.Linear(width, out)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(condition)[:, None].chunk(2, dim=-1)
        found: Tensor = self.linear(self.norm_final(x) * (1 + scale) + shift)
        return found
