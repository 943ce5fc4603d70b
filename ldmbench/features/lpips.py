"""LPIPS (Zhang et al. 2018): perceptual distance of pairs, network by name or by path."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ldmbench.canonical import digest, digest_file
from ldmbench.errors import InputError
from ldmbench.features.checkpoint import read_tensors
from ldmbench.features.extractor import exact_convolutions
from ldmbench.registry import pick
from ldmbench.sources.evaluators import weights_path
from ldmbench.tensors.device import usable_device

__all__ = ["Convention", "Lpips", "Net", "load_lpips", "of_pairs"]

Net: TypeAlias = Literal["alex", "vgg"]
Convention: TypeAlias = Literal["lpips", "torchmetrics"]

BATCH = 16

# fmt: off
# (kernel, stride, padding) of each convolution's row in torchvision's `features`, "pool" between,
# "|" after the activations that are compared
_LAYERS: dict[str, list[Any]] = {
    "vgg": [
        (0, 1, 1), (2, 1, 1), "|", "pool2", (5, 1, 1), (7, 1, 1), "|",
        "pool2", (10, 1, 1), (12, 1, 1), (14, 1, 1), "|",
        "pool2", (17, 1, 1), (19, 1, 1), (21, 1, 1), "|",
        "pool2", (24, 1, 1), (26, 1, 1), (28, 1, 1), "|",
    ],
    "alex": [
        (0, 4, 2), "|", "pool3", (3, 1, 2), "|", "pool3", (6, 1, 1), "|", (8, 1, 1), "|",
        (10, 1, 1), "|",
    ],
}
# fmt: on
_BACKBONES = {"vgg": "vgg16", "alex": "alexnet"}
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # the paper's released code


class Lpips:
    """The distance: a backbone of torchvision's weights, and one linear head per layer.

    Attributes:
        name: "lpips-vgg" or "lpips-alex".
        digest: of both files' digests, 64 hex digits.
        convention: how activations are normalised: "lpips" divides by (norm + 1e-10),
            "torchmetrics" by sqrt(sum of squares + 1e-8).
    """

    def __init__(
        self,
        net: Net,
        backbone: Path,
        heads: Path,
        *,
        convention: Convention = "lpips",
        device: str = "cpu",
    ) -> None:
        self.name = f"lpips-{net}"
        self.digest = digest([digest_file(backbone), digest_file(heads)])
        self.convention = convention
        self._device = torch.device(device)
        self._layers = _LAYERS[net]
        self._kernels = _convolutions(net, backbone, self._device)
        self._heads = _heads(heads, self._layers.count("|"), self._device)

    def __call__(self, a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Return the distance of each pair, float64 (N,), 0 for equal images.

        Args:
            a: uint8 NHWC, RGB.
            b: like `a`.

        Raises:
            InputError: if the arrays are not uint8 RGB images of equal shape, or too small.
        """
        if a.shape != b.shape or a.ndim != 4 or a.shape[3] != 3 or a.dtype != np.uint8:
            raise InputError(
                f"LPIPS compares uint8 (N, H, W, 3) images in pairs, found {a.dtype} {a.shape} and "
                f"{b.dtype} {b.shape}"
            )
        if min(a.shape[1:3]) < 32:
            raise InputError(f"LPIPS needs images of 32 pixels or more, found {a.shape[1:3]}")
        parts = [
            self._distance(_pixels(a[i : i + BATCH]), _pixels(b[i : i + BATCH]))
            for i in range(0, len(a), BATCH)
        ]
        return np.concatenate([np.empty(0), *parts])

    def _distance(self, a: torch.Tensor, b: torch.Tensor) -> npt.NDArray[Any]:
        n = len(a)
        with torch.inference_mode(), exact_convolutions():
            total = torch.zeros(n, dtype=torch.float64)
            for layer, head in zip(self._activations(torch.cat([a, b])), self._heads):
                unit = self._normalised(layer)
                weighed = (unit[:n] - unit[n:]).square() * head
                total += weighed.sum(1).mean((1, 2)).double().cpu()
        return total.numpy()

    def _activations(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = x.to(self._device)
        kernels = iter(self._kernels)
        out = []
        for layer in self._layers:
            if layer == "|":
                out.append(x)
            elif isinstance(layer, str):
                x = nn.functional.max_pool2d(x, int(layer[-1]), 2)
            else:
                weight, bias = next(kernels)
                x = nn.functional.conv2d(x, weight, bias, layer[1], layer[2]).relu()
        return out

    def _normalised(self, x: torch.Tensor) -> torch.Tensor:
        squares = x.square().sum(1, keepdim=True)
        if self.convention == "torchmetrics":
            return x / (squares + 1e-8).sqrt()
        return x / (squares.sqrt() + 1e-10)


def load_lpips(
    net: Net = "alex",
    *,
    backbone: Path | None = None,
    heads: Path | None = None,
    backbone_sha256: str | None = None,
    heads_sha256: str | None = None,
    convention: Convention = "lpips",
    device: str = "cpu",
    offline: bool | None = None,
) -> Lpips:
    """Load LPIPS v0.1.

    Args:
        net: "alex" or "vgg".
        backbone: torchvision's state dict; None takes the named weights, digest-checked.
        heads: the linear heads' state dict, as lpips and torchmetrics ship it; None likewise.
        backbone_sha256: what the file of `backbone` must have; None takes it as it is.
        heads_sha256: the same for `heads`.
        convention: "lpips" or "torchmetrics".
        device: a torch device.
        offline: open no connection; None asks LDMBENCH_OFFLINE.

    Raises:
        InputError: if a name is unknown, the device is not there, or weights are missing, damaged
            or of another network.
    """
    pick(_BACKBONES, net, "LPIPS network")
    pick({"lpips": 0, "torchmetrics": 0}, convention, "LPIPS convention")
    usable_device(device)
    for path, sha256 in ((backbone, backbone_sha256), (heads, heads_sha256)):
        if path is None:
            continue
        if not path.is_file():
            raise InputError(f"{path} is no file; give weights of LPIPS or leave the path out")
        if sha256 is not None and digest_file(path) != sha256:
            raise InputError(
                f"{path} has the sha256 {digest_file(path)}, expected {sha256}; fetch it again"
            )
    return Lpips(
        net,
        backbone or weights_path(_BACKBONES[net], offline=offline),
        heads or weights_path(f"lpips-{net}", offline=offline),
        convention=convention,
        device=device,
    )


def of_pairs(
    batches: Iterable[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]],
    *,
    lpips: Net,
    device: str = "cpu",
) -> npt.NDArray[Any]:
    """Return the distance of each pair, float64 (N,).

    Args:
        batches: of pairs (a, b), uint8 NHWC each.
        lpips: the network, as a protocol names it.
        device: a torch device.
    """
    network = load_lpips(lpips, device=device)
    return np.concatenate([network(a, b) for a, b in batches])


def _convolutions(
    net: Net, path: Path, device: torch.device
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    tensors = read_tensors(path)
    rows = [layer[0] for layer in _LAYERS[net] if not isinstance(layer, str)]
    try:
        return [
            (
                tensors[f"features.{row}.weight"].float().to(device),
                tensors[f"features.{row}.bias"].float().to(device),
            )
            for row in rows
        ]
    except KeyError as error:
        raise InputError(
            f"{path} has no tensor {error}; give torchvision's weights of {_BACKBONES[net]}"
        ) from error


def _heads(path: Path, count: int, device: torch.device) -> list[torch.Tensor]:
    tensors = read_tensors(path)
    try:
        return [
            tensors[f"lin{i}.model.1.weight"].float().reshape(1, -1, 1, 1).to(device)
            for i in range(count)
        ]
    except KeyError as error:
        raise InputError(f"{path} has no tensor {error}; give LPIPS v0.1 heads") from error


def _pixels(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Scale uint8 NHWC to [-1, 1], then as the backbones were trained; float32 NCHW."""
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    shift, scale = (torch.tensor(v)[:, None, None] for v in (_SHIFT, _SCALE))
    return (x - shift) / scale
