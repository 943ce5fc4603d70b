"""Captions and classes -> the sequence that the denoiser attends to.

Trained jointly with the denoiser (arXiv:2112.10752, section 3.3: tau_theta); it shares no weights
with the evaluators.
"""

from __future__ import annotations

import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from torch import Tensor, nn

from ldmbench.models.compvis.networks import ClassEmbedder
from ldmbench.models.hashed_words import LENGTH, TOKENS
from ldmbench.schema.models import Conditioning

__all__ = ["CaptionEncoder", "build_conditioner"]


class CaptionEncoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A small transformer: token ids (N, LENGTH) -> float32 (N, LENGTH, channels).

    Padding is a token like any other, so that a caption's sequence does not depend on its
    neighbours in the batch.

    Args:
        channels: width of the sequence.
        depth: blocks of self-attention.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, channels: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(TOKENS, channels)
        self.places = nn.Parameter(torch.zeros(LENGTH, channels))
        self.blocks = nn.ModuleList(_Block(channels) for _ in range(depth))
        self.norm = nn.LayerNorm(channels)

    def forward(self, ids: Tensor) -> Tensor:
        """Encode ids, int64 (N, L), L at most LENGTH, as `tokenize` returns them."""
        x = self.words(ids) + self.places[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out


def build_conditioner(
    conditioning: Conditioning, *, channels: int, classes: int
) -> CaptionEncoder | ClassEmbedder | None:
    """Return the encoder of a condition, or None; the last row of a class table is no class."""
    if conditioning == "none":
        return None
    if conditioning == "caption":
        encoder: CaptionEncoder = CaptionEncoder(channels)
        return encoder
    table: ClassEmbedder = ClassEmbedder(classes + 1, channels, null_class=classes)
    return table


class _Block(nn.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // 32) if channels % 32 == 0 else 1
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.up = nn.Linear(channels, 4 * channels)
        self.down = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        n, length, c = x.shape
        qkv = self.qkv(self.norm1(x)).view(n, length, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = (
            nn.functional.scaled_dot_product_attention(q, k, v)
            .transpose(1, 2)
            .reshape(n, length, c)
        )
        x = x + self.out(mixed)
        hidden: Tensor = x + self.down(nn.functional.gelu(self.up(self.norm2(x))))
        return hidden
