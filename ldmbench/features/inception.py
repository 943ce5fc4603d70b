"""Inception-v3 as FID uses it: torch-fidelity's network of 2015-12-05, folded for speed.

The network is built by torch-fidelity (Heusel et al. 2017). Here batch norms are folded into
convolutions, 1x1 convolutions of one input are merged, and average pooling follows the 1x1
convolution it commutes with. Features differ from the unfolded network's by rounding alone.
"""

from __future__ import annotations

import io
import logging
import textwrap
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as fn
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import (
    BasicConv2d,
    FeatureExtractorInceptionV3,
    InceptionA,
    InceptionC,
    InceptionE_1,
    InceptionE_2,
)

from ldmbench.catalog.extractors import ExtractorSpec
from ldmbench.errors import InputError
from ldmbench.features.extractor import DTYPES, Extractor, Use
from ldmbench.features.inception_weights import read_inception
from ldmbench.words import first_line

__all__ = ["COMPILE_FROM", "Inception", "InceptionExtractor", "load"]

log = logging.getLogger(__name__)

SPATIAL_CHANNELS = 7
COMPILE_FROM = 4_000
"""Images from which compiling on a CPU repays its 40 to 70 seconds."""


class _Conv(nn.Module):
    """Convolutions of one input with their batch norms folded in, side by side, and their ReLU."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, *layers: BasicConv2d) -> None:
        super().__init__()
        folded = [_fold(layer) for layer in layers]
        self.register_buffer("weight", torch.cat([weight for weight, _ in folded]))
        self.register_buffer("bias", torch.cat([bias for _, bias in folded]))
        self.widths = [len(bias) for _, bias in folded]
        self.stride, self.padding = layers[0].conv.stride, layers[0].conv.padding

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x).relu_()

    def linear(self, x: torch.Tensor) -> torch.Tensor:
        return fn.conv2d(x, self.weight, self.bias, self.stride, self.padding)

    def split(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.split(self.linear(x), self.widths, dim=1)


class _Mixed(nn.Module):
    """A block whose branches all begin with a 1x1 convolution: A and C."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        branches = _branches(block)
        self.heads = _Conv(*(branch[0] for branch in branches))
        self.chains = nn.ModuleList(
            nn.Sequential(*map(_Conv, branch[1:])) for branch in branches[1:-1]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, *middle, pooled = self.heads.split(x)
        out = [first.relu()]
        out += [chain(part.relu()) for chain, part in zip(self.chains, middle)]
        return torch.cat([*out, _average(pooled).relu_()], dim=1)


class _Wide(nn.Module):
    """Block E: two of its branches fork at the end; the second kind pools by the maximum."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        single, (one, *fork), (two, deep, *deep_fork), (pool,) = _branches(block)
        average = isinstance(block, InceptionE_1)
        self.heads = _Conv(*single, one, two, *([pool] if average else []))
        self.deep = _Conv(deep)
        self.forks = nn.ModuleList(map(_Conv, (*fork, *deep_fork)))
        self.pool = None if average else _Conv(pool)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, single, double, *rest = self.heads.split(x)
        single, double = single.relu(), self.deep(double.relu())
        out = [first.relu()]
        out += [fork(part) for fork, part in zip(self.forks, (single, single, double, double))]
        if self.pool is None:
            out.append(_average(rest[0]).relu_())
        else:
            out.append(self.pool(fn.max_pool2d(x, 3, 1, 1)))
        return torch.cat(out, dim=1)


_FAST: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    BasicConv2d: _Conv,
    InceptionA: _Mixed,
    InceptionC: _Mixed,
    InceptionE_1: _Wide,
    InceptionE_2: _Wide,
}


class Inception(nn.Module):
    """The network from a resized image to features, logits and the spatial map."""

    logit_weight: torch.Tensor

    def __init__(self, network: FeatureExtractorInceptionV3) -> None:
        super().__init__()
        layers = {name: _fast(layer) for name, layer in network.named_children()}
        names = [name for name in layers if name not in ("AvgPool", "fc")]
        middle = names.index("Mixed_6d")
        self.stem = nn.Sequential(*(layers[name] for name in names[:middle]))
        self.middle = layers[names[middle]]
        self.top = nn.Sequential(*(layers[name] for name in names[middle + 1 :]))
        self.register_buffer("logit_weight", network.fc.weight.detach())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the layers of images.

        Args:
            x: float NCHW in [-1, 1), side 299.

        Returns:
            features (N, 2048), the average of the last map; logits (N, 1008) without bias, as
            torch-fidelity's `logits_unbiased`; spatial (N, 2023), the first 7 channels of
            TensorFlow's mixed_6/conv, channels last (Nash et al. 2021, sFID).
        """
        x = self.middle(self.stem(x))
        spatial = x[:, :SPATIAL_CHANNELS].permute(0, 2, 3, 1).flatten(1)
        features = self.top(x).mean((2, 3))
        return features, features @ self.logit_weight.T, spatial


def _fast(layer: nn.Module) -> nn.Module:
    """Return a layer that computes the same with fewer operations."""
    if type(layer) in _FAST:
        return _FAST[type(layer)](layer)
    for name, child in layer.named_children():  # blocks B and D keep their own forward
        setattr(layer, name, _fast(child))
    return layer


def _branches(block: nn.Module) -> list[list[nn.Module]]:
    """Group the layers of a block by branch, in order: branch3x3dbl_1, branch3x3dbl_2, ..."""
    names = groupby(block.named_children(), key=lambda named: named[0].rpartition("_")[0])
    return [[layer for _, layer in group] for _, group in names]


def _fold(layer: BasicConv2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Fold a batch norm into its convolution, in float64: weight OIHW and bias O, float32."""
    norm = layer.bn
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = layer.conv.weight.double() * scale[:, None, None, None]
    return weight.float(), (norm.bias.double() - norm.running_mean.double() * scale).float()


def _average(x: torch.Tensor) -> torch.Tensor:
    return fn.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class InceptionExtractor(Extractor):
    """Inception behind its resizer; images go in as (x - 128) / 128."""

    def _forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self._resized(images).sub_(128).mul_(1 / 128)
        x = x.to(DTYPES[self.precision]).contiguous(memory_format=torch.channels_last)
        features, logits, spatial = self.network(x)
        return {"features": features, "logits": logits, "spatial": spatial}


def load(spec: ExtractorSpec, path: Path, use: Use) -> InceptionExtractor:
    """Load torch-fidelity's state dict or clean-fid's TorchScript file.

    Raises:
        InputError: if the file is neither.
    """
    network = use.placed(Inception(_built(path))).to(memory_format=torch.channels_last)
    compiles = use.expected >= COMPILE_FROM and use.device.type == "cpu"
    return InceptionExtractor(spec, _compiled(network, spec) if compiles else network, use)


def _built(path: Path) -> FeatureExtractorInceptionV3:
    """Build torch-fidelity's network.

    Its constructor unpickles a file, or downloads one: here it reads tensors that our own reader
    took from the file without running code.
    """
    tensors = io.BytesIO()
    torch.save(read_inception(path), tensors)
    tensors.seek(0)
    try:
        return FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=tensors
        )
    except RuntimeError as error:
        difference = textwrap.shorten(str(error).partition("\n")[2], 160)
        raise InputError(
            f"{path} holds weights of another network ({difference}); "
            "give those that torch-fidelity or clean-fid load"
        ) from error


def _compiled(network: Inception, spec: ExtractorSpec) -> Callable[..., Any]:
    """Compile with constants frozen, or keep the network where there is no working compiler."""
    compiled: Callable[..., Any] = torch.compile(network, options={"freezing": True})
    blank = torch.zeros(spec.batch, 3, spec.side, spec.side, dtype=network.logit_weight.dtype)
    try:
        with torch.inference_mode():
            compiled(blank.contiguous(memory_format=torch.channels_last))
    except (RuntimeError, OSError) as error:
        log.warning("Inception runs uncompiled: %s", first_line(error))
        return network
    return compiled
