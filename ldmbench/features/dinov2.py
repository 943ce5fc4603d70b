"""DINOv2 (Oquab et al. 2023): the vision transformer, from the weights file Meta publishes.

timm's files of the same networks have the same names but no mask_token, and load too.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as fn

from ldmbench.catalog.extractors import ExtractorSpec
from ldmbench.errors import InputError
from ldmbench.features.checkpoint import assign, read_tensors
from ldmbench.features.extractor import DTYPES, Extractor, Use, normaliser

__all__ = ["UNUSED", "DinoV2", "DinoV2Extractor", "load", "network"]

PATCH = 14
HEAD = 64
OFFSET = 0.1  # the released code adds it to the grid before it interpolates positions
POSITIONS = 1 + 37 * 37  # of the released networks, trained last at 518 pixels
DEPTHS = {384: 12, 768: 12, 1024: 24}
"""Blocks of the released networks, by width."""
UNUSED = ("mask_token",)
"""Tensors of a file that only training reads."""


class _Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)
        out = fn.scaled_dot_product_attention(q, k, v)
        return self.proj(out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(fn.gelu(self.fc1(x)))  # type: ignore[no-any-return]


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = _Attention(width), _Mlp(width)
        self.ls1, self.ls2 = _Scale(width), _Scale(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))  # type: ignore[no-any-return]


class _Patches(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


class DinoV2(nn.Module):
    """A vision transformer without registers; names are those of the released state dicts."""

    def __init__(self, width: int, depth: int, positions: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, positions, width))
        self.patch_embed = _Patches(width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the class token after the last norm, (N, D), of normalised images NCHW."""
        tokens = self.patch_embed(x)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        tokens = tokens + self._positions(x.shape[2] // PATCH, x.shape[3] // PATCH)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens[:, 0])  # type: ignore[no-any-return]

    def _positions(self, rows: int, columns: int) -> torch.Tensor:
        """Return the position embeddings of a grid of patches, bicubic from the trained grid."""
        side = round((self.pos_embed.shape[1] - 1) ** 0.5)
        if (rows, columns) == (side, side):
            return self.pos_embed
        grid = self.pos_embed[:, 1:].float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
        scale = [(rows + OFFSET) / side, (columns + OFFSET) / side]
        grid = fn.interpolate(grid, scale_factor=scale, mode="bicubic")
        grid = grid.flatten(2).transpose(1, 2).to(self.pos_embed.dtype)
        return torch.cat([self.pos_embed[:, :1], grid], dim=1)


class DinoV2Extractor(Extractor):
    """DINOv2 behind its resizer."""

    def __init__(self, spec: ExtractorSpec, network: DinoV2, use: Use) -> None:
        super().__init__(spec, network, use)
        self._scale = normaliser(spec.colours, self.device)

    def _forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self._scale(self._resized(images))
        return {"features": self.network(x.to(DTYPES[self.precision]))}


def network(spec: ExtractorSpec) -> DinoV2:
    """Return the network of a row, as released, with no values when the device is meta."""
    return DinoV2(spec.dim, DEPTHS[spec.dim], POSITIONS)


def load(spec: ExtractorSpec, path: Path, use: Use) -> DinoV2Extractor:
    """Load a released state dict (`dinov2_vits14_pretrain.pth` and its larger kin).

    Raises:
        InputError: if the file holds another network.
    """
    tensors = {n: t for n, t in read_tensors(path).items() if n not in UNUSED}
    if "pos_embed" not in tensors or tensors["pos_embed"].ndim != 3:
        raise InputError(f"{path} holds no DINOv2 backbone; give Meta's dinov2_*_pretrain.pth")
    _, positions, width = tensors["pos_embed"].shape
    depth = sum(name.endswith(".norm1.weight") for name in tensors)
    with torch.device("meta"):
        found = DinoV2(width, depth, positions)
    assign(found, tensors, path)
    return DinoV2Extractor(spec, use.placed(found), use)
