"""shapes-seg: the embedded network that reads the class of every pixel of an image of `shapes`.

A small U-Net, made from `shapes` alone by scripts/make_segmenter.py. Maps of classes are scored by
it, and the detector of layouts reads its maps (metrics/layouts.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ldmbench.canonical import digest_file
from ldmbench.errors import InputError
from ldmbench.features.checkpoint import read_tensors
from ldmbench.schema.weights import SHIPPED, weights_named
from ldmbench.sources.images.source import Pixels

__all__ = ["COLOURS", "KINDS", "SIDE", "SegmenterNet", "load_segmenter"]

KINDS, COLOURS, SIDE = 7, 8, 64
"""Background and six shapes; colours; side of its input in pixels."""
WIDTHS = (12, 32, 48, 64)
BATCH = 64


class SegmenterNet(nn.Module):
    """A U-Net over four sides; NCHW float32 in [-1, 1], side 64."""

    CLASSES = 1 + (KINDS - 1) * COLOURS
    """Background and every shape in every colour."""

    def __init__(self) -> None:
        super().__init__()
        first, *deeper = WIDTHS
        self.stem = _block(3, first)
        self.down = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), _block(a, b), _block(b, b))
            for a, b in zip(WIDTHS, deeper)
        )
        self.up = nn.ModuleList(
            _block(a + b, a) for a, b in zip(reversed(WIDTHS[:-1]), reversed(deeper))
        )
        self.head = nn.Conv2d(first, KINDS + COLOURS, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of kinds (N, 7, H, W) and of colours (N, 8, H, W)."""
        found = [self.stem(x)]
        for level in self.down:
            found.append(level(found[-1]))
        x = found.pop()
        for level in self.up:
            x = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = level(torch.cat([found.pop(), x], dim=1))
        kinds, colours = self.head(x).split([KINDS, COLOURS], dim=1)
        return kinds, colours

    @torch.no_grad()
    def classes(self, images: Pixels) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return the class of each pixel and how sure the network is of it.

        Args:
            images: uint8 (N, H, W, 3) of any side; resized bilinearly to 64 and back, the longer
                side where they are not square.

        Returns:
            int64 (N, H, W), 0 for background and 1 + c for a row c of CLASSES; float32 (N, H, W)
            probabilities.
        """
        device = self.head.weight.device
        made = [self._part(images[i : i + BATCH], device) for i in range(0, len(images), BATCH)]
        ids, sure = (torch.cat(part).numpy() for part in zip(*made))
        return ids, sure

    def _part(self, images: Pixels, device: torch.device) -> tuple[Tensor, Tensor]:
        x = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2)
        x, size = x.float() / 127.5 - 1, images.shape[1:3]
        scaled = [fitted(part, size) for part in self(fitted(x, _seen(size)))]
        kinds, colours = (part.log_softmax(1) for part in scaled)
        joint = (kinds[:, 1:, None] + colours[:, None]).flatten(1, 2)
        sure, ids = torch.cat([kinds[:, :1], joint], dim=1).max(1)
        return ids.cpu(), sure.exp().cpu()


def _seen(size: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width at which images are seen: the longer is 64, all halve thrice."""
    height, width = (max(8, round(SIDE * part / max(size) / 8) * 8) for part in size)
    return height, width


def fitted(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return NCHW at another size, bilinearly; smoothed before it is made smaller."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return nn.functional.interpolate(x, size, mode="bilinear", antialias=True)


def load_segmenter(
    name: str = "shapes-seg", *, path: Path | None = None, device: str | torch.device = "cpu"
) -> SegmenterNet:
    """Return a segmenter that ships, frozen.

    Args:
        name: a row of WEIGHTS.
        path: a file in its place, whose digest is not checked.
        device: where its weights go.

    Raises:
        InputError: its weights are missing or not the shipped ones.
    """
    row = weights_named(name)
    place = path or SHIPPED / row.file
    if path is None and (not place.is_file() or digest_file(place) != row.sha256):
        raise InputError(
            f"{place} is not the file that is shipped; reinstall ldmbench, or run"
            " scripts/make_segmenter.py"
        )
    net = SegmenterNet()
    net.load_state_dict({key: t.float() for key, t in read_tensors(place).items()})
    return net.eval().requires_grad_(False).to(device)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.GroupNorm(4, outputs),
        nn.SiLU(),
    )
