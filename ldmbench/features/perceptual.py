"""The perceptual loss of first-stage training, in the form of LPIPS (arXiv:1801.03924, eq. 1).

Its network is small, is made from `shapes` alone by scripts/make_perceptual.py, and is no
evaluator: it shares neither weights nor architecture nor training images with those.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from ldmbench.errors import InputError
from ldmbench.features.checkpoint import read_tensors

__all__ = ["WEIGHTS", "PerceptualNet", "load_perceptual"]

WEIGHTS = Path(__file__).parent / "weights" / "shapes-perceptual.safetensors"
WIDTHS = (16, 32, 48, 64)


class PerceptualNet(nn.Module):
    """Four convolutions, all but the first halving the image; every one is a layer to compare.

    NCHW float32 in [-1, 1], any side of at least 8.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(c, d, 3, stride=1 if c == 3 else 2, padding=1)
            for c, d in pairwise((3, *WIDTHS))
        )

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the activations of each layer, NCHW float32."""
        found = []
        for layer in self.layers:
            x = nn.functional.silu(layer(x))
            found.append(x)
        return found

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the distance of each pair of images, float32 (N,), 0 for equal ones.

        The mean over positions of the squared distance between unit-length activations, averaged
        over layers; every channel weighs the same. It is halved, which puts unrelated images of
        `shapes` at 0.7, as LPIPS does with photographs, so that the paper's weight of 1 fits.
        """
        terms = []
        for a, b in zip(self.features(x), self.features(y)):
            terms.append((_unit(a) - _unit(b)).square().sum(1).mean((1, 2)))
        return 0.5 * torch.stack(terms).mean(0)


def load_perceptual(path: Path = WEIGHTS, *, device: str | torch.device = "cpu") -> PerceptualNet:
    """Return the shipped network, frozen.

    Raises:
        InputError: if its weights are missing or are of another network.
    """
    net = PerceptualNet()
    try:
        net.load_state_dict(read_tensors(path))
    except (InputError, OSError, RuntimeError) as error:
        raise InputError(
            f"{path} does not hold the perceptual network ({error}); reinstall ldmbench, run "
            "scripts/make_perceptual.py, or train with perceptual_weight: 0"
        ) from error
    return net.eval().requires_grad_(False).to(device)


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True) + 1e-10).sqrt()
