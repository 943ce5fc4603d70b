"""shapes-net: the embedded network whose features judge images of `shapes`.

A small convolutional network that was trained to read every attribute of a scene from 64 numbers,
and to say in 6 more how sharp, how noisy and how distorted the image is. The 70 are the feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ldmbench.catalog.extractors import ExtractorSpec
from ldmbench.features.checkpoint import fill, read_tensors
from ldmbench.features.extractor import DTYPES, Extractor, Use

__all__ = ["FEATURES", "SIDE", "Readout", "ShapesNet", "ShapesNetExtractor", "load"]

SIDE = 64
CONTENT, QUALITY = 64, 6
FEATURES = CONTENT + QUALITY
GAIN = 4.0
"""What one unit of quality (an octave of blur or noise) weighs beside the 64 of unit variance."""
CLASSES, COUNTS, BACKGROUNDS, PLACES = 48, 3, 6, 9
SHAPES, COLOURS, SIZES = 6, 8, 2
SPATIAL = 8


@dataclass(frozen=True)
class Readout:
    """What the heads say of N scenes; all float32.

    Attributes:
        label: logits (N, 48) of the largest object's class.
        count: logits (N, 3) of the number of objects.
        background: logits (N, 6).
        size: logits (N, 9, 3) for each place: nothing, small, large.
        shape: logits (N, 9, 6) for each place.
        colour: logits (N, 9, 8) for each place.
    """

    label: torch.Tensor
    count: torch.Tensor
    background: torch.Tensor
    size: torch.Tensor
    shape: torch.Tensor
    colour: torch.Tensor


class ShapesNet(nn.Module):
    """Convolutions to a 4 x 4 map, and one vector of normalised features per image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 24, stride=2)
        self.grain = _conv(24, 48, stride=2)
        self.body = nn.Sequential(
            _Residual(48),
            _conv(48, 96, stride=2),
            _Residual(96),
            _conv(96, 160, stride=2),
            _Residual(160),
        )
        self.squeeze = nn.Conv2d(160, 64, 1)
        self.project = nn.Linear(64 * 16 + 2 * 24, CONTENT)
        self.norm = nn.LayerNorm(CONTENT, elementwise_affine=False)
        self.quality = nn.Sequential(
            nn.Linear(2 * 24 + 2 * 48 + 160, 128), nn.GELU(), nn.Linear(128, QUALITY)
        )
        self.label = nn.Linear(CONTENT, CLASSES)
        self.count = nn.Linear(CONTENT, COUNTS)
        self.background = nn.Linear(CONTENT, BACKGROUNDS)
        self.places = nn.Sequential(
            nn.Linear(CONTENT, 384),
            nn.GELU(),
            nn.Linear(384, PLACES * (1 + SIZES + SHAPES + COLOURS)),
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features and the spatial map.

        Args:
            x: float NCHW in [0, 255], side 64.

        Returns:
            features (N, 70): 64 of content, each row of mean 0 and variance 1, and 6 of quality:
            octaves of blur and of noise, then strengths of hue shift, fading, blending and
            warping, times GAIN; spatial (N, 128): 8 channels of the 4 x 4 map, channels last.
        """
        stem = self.stem((x - 127.5) / 63.75)
        grain = self.grain(stem)
        top = self.body(grain)
        spatial = self.squeeze(top)
        texture = [stem.mean((2, 3)), stem.std((2, 3), correction=0)]
        content = self.norm(self.project(torch.cat([spatial.flatten(1), *texture], dim=1)))
        texture += [grain.mean((2, 3)), grain.std((2, 3), correction=0), top.mean((2, 3))]
        features = torch.cat([content, GAIN * self.quality(torch.cat(texture, dim=1))], dim=1)
        return features, spatial[:, :SPATIAL].permute(0, 2, 3, 1).flatten(1)

    def read(self, features: torch.Tensor) -> Readout:
        """Return what the heads read from features (N, 70)."""
        features = features[:, :CONTENT]
        places = self.places(features).unflatten(1, (PLACES, -1))
        size, shape, colour = places.split([1 + SIZES, SHAPES, COLOURS], dim=2)
        return Readout(
            label=self.label(features),
            count=self.count(features),
            background=self.background(features),
            size=size,
            shape=shape,
            colour=colour,
        )


def _conv(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = _conv(channels, channels, stride=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)  # type: ignore[no-any-return]


class ShapesNetExtractor(Extractor):
    """shapes-net behind its resizer; `network` reads the attributes from the features."""

    network: ShapesNet

    def _forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self._resized(images).to(DTYPES[self.precision])
        features, spatial = self.network(x.contiguous(memory_format=torch.channels_last))
        logits = self.network.read(features).label
        return {"features": features, "logits": logits, "spatial": spatial}


def load(spec: ExtractorSpec, path: Path, use: Use) -> ShapesNetExtractor:
    """Load shapes-net from safetensors; it is never compiled."""
    network = ShapesNet()
    fill(network, read_tensors(path), path)
    network = use.placed(network).to(memory_format=torch.channels_last)
    return ShapesNetExtractor(spec, network, use)
