"""Inception-v3 as FID uses it: the TensorFlow network of 2015-12-05, folded for speed.

The network is that of torch-fidelity and clean-fid (Heusel et al. 2017); here batch norms are
folded into convolutions, sibling 1x1 convolutions are merged, and average pooling follows the 1x1
convolution it commutes with. Features differ from the unfolded network's by rounding alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as fn
from torch import nn

from ldmbench.errors import InputError
from ldmbench.features.extractor import DTYPES, Extractor, Precision
from ldmbench.features.inception_weights import Kernels, read_inception
from ldmbench.features.resize import RESIZERS
from ldmbench.schema.weights import ExtractorSpec
from ldmbench.words import first_line

__all__ = ["COMPILE_FROM", "Inception", "InceptionExtractor", "load"]

log = logging.getLogger(__name__)

SPATIAL_CHANNELS = 7
COMPILE_FROM = 4_000
"""Images from which compiling on a CPU repays its 40 to 70 seconds."""


class _Conv(nn.Module):
    """A folded convolution with its ReLU; several of them that read one input are merged."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, *kernels: tuple[torch.Tensor, torch.Tensor], stride: int = 1) -> None:
        super().__init__()
        self.register_buffer("weight", torch.cat([w for w, _ in kernels]))
        self.register_buffer("bias", torch.cat([b for _, b in kernels]))
        self.widths = [len(b) for _, b in kernels]
        self.stride = stride
        self.padding = [0, 0] if stride == 2 else [side // 2 for side in kernels[0][0].shape[2:]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x).relu_()

    def linear(self, x: torch.Tensor) -> torch.Tensor:
        return fn.conv2d(x, self.weight, self.bias, self.stride, self.padding)

    def split(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.split(self.linear(x), self.widths, dim=1)


class _Chain(nn.Sequential):
    def __init__(self, kernels: Kernels, block: str, *names: str, last: int = 1) -> None:
        strides = [1] * (len(names) - 1) + [last]
        super().__init__(
            *(_Conv(kernels[f"{block}.{n}"], stride=s) for n, s in zip(names, strides))
        )


class _Mixed(nn.Module):
    """A block whose branches begin with 1x1 convolutions: A, C, E of the paper's Figures 5 to 7."""

    def __init__(self, kernels: Kernels, block: str, chains: tuple[tuple[str, ...], ...]) -> None:
        super().__init__()
        heads = ["branch1x1", *(chain[0] for chain in chains), "branch_pool"]
        self.heads = _Conv(*(kernels[f"{block}.{name}"] for name in heads))
        self.chains = nn.ModuleList(_Chain(kernels, block, *chain[1:]) for chain in chains)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, *middle, pooled = self.heads.split(x)
        out = [first.relu()]
        out += [chain(part.relu()) for chain, part in zip(self.chains, middle)]
        return torch.cat([*out, _average(pooled).relu_()], dim=1)


class _Wide(nn.Module):
    """Block E: two of its branches fork at the end; the last one pools by the maximum."""

    def __init__(self, kernels: Kernels, block: str, *, average: bool) -> None:
        super().__init__()
        heads = ["branch1x1", "branch3x3_1", "branch3x3dbl_1", *(["branch_pool"] * average)]
        self.heads = _Conv(*(kernels[f"{block}.{name}"] for name in heads))
        self.deep = _Conv(kernels[f"{block}.branch3x3dbl_2"])
        forks = ("branch3x3_2a", "branch3x3_2b", "branch3x3dbl_3a", "branch3x3dbl_3b")
        self.forks = nn.ModuleList(_Conv(kernels[f"{block}.{name}"]) for name in forks)
        self.pool = None if average else _Conv(kernels[f"{block}.branch_pool"])

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


class _Reduce(nn.Module):
    """Blocks B and D: strided branches beside a strided maximum."""

    def __init__(
        self, kernels: Kernels, block: str, first: tuple[str, ...], second: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.first = _Chain(kernels, block, *first, last=2)
        self.second = _Chain(kernels, block, *second, last=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.first(x), self.second(x), fn.max_pool2d(x, 3, 2)], dim=1)


_A = (("branch5x5_1", "branch5x5_2"), tuple(f"branch3x3dbl_{i}" for i in (1, 2, 3)))
_C = (tuple(f"branch7x7_{i}" for i in (1, 2, 3)), tuple(f"branch7x7dbl_{i}" for i in range(1, 6)))


class Inception(nn.Module):
    """The network from a resized image to features, logits and the spatial map."""

    logit_weight: torch.Tensor

    def __init__(self, kernels: Kernels, logit_weight: torch.Tensor) -> None:
        super().__init__()
        k = kernels
        self.stem = nn.Sequential(
            _Conv(k["Conv2d_1a_3x3"], stride=2),
            _Valid(k["Conv2d_2a_3x3"]),
            _Conv(k["Conv2d_2b_3x3"]),
            nn.MaxPool2d(3, 2),
            _Conv(k["Conv2d_3b_1x1"]),
            _Valid(k["Conv2d_4a_3x3"]),
            nn.MaxPool2d(3, 2),
            *(_Mixed(k, f"Mixed_5{x}", _A) for x in "bcd"),
            _Reduce(k, "Mixed_6a", ("branch3x3",), _A[1]),
            *(_Mixed(k, f"Mixed_6{x}", _C) for x in "bc"),
        )
        self.middle = _Mixed(k, "Mixed_6d", _C)
        self.top = nn.Sequential(
            _Mixed(k, "Mixed_6e", _C),
            _Reduce(
                k,
                "Mixed_7a",
                ("branch3x3_1", "branch3x3_2"),
                tuple(f"branch7x7x3_{i}" for i in (1, 2, 3, 4)),
            ),
            _Wide(k, "Mixed_7b", average=True),
            _Wide(k, "Mixed_7c", average=False),
        )
        self.register_buffer("logit_weight", logit_weight)

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


class _Valid(_Conv):
    """A 3x3 convolution without padding."""

    def __init__(self, kernel: tuple[torch.Tensor, torch.Tensor]) -> None:
        super().__init__(kernel)
        self.padding = [0, 0]


def _average(x: torch.Tensor) -> torch.Tensor:
    return fn.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class InceptionExtractor(Extractor):
    """Inception behind its resizer; images go in as (x - 128) / 128."""

    def __init__(
        self, spec: ExtractorSpec, network: Callable[..., Any], digest: str, **where: Any
    ) -> None:
        super().__init__(spec, digest, **where)
        self._network = network
        self._resize = RESIZERS[spec.resize]

    def _forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self._resize(images, self.spec.side).sub_(128).mul_(1 / 128)
        x = x.to(DTYPES[self.precision]).contiguous(memory_format=torch.channels_last)
        features, logits, spatial = self._network(x)
        return {"features": features, "logits": logits, "spatial": spatial}


def load(
    spec: ExtractorSpec,
    path: Path,
    *,
    digest: str,
    device: str,
    precision: Precision,
    expected: int,
) -> InceptionExtractor:
    """Load torch-fidelity's state dict or clean-fid's TorchScript file.

    Raises:
        InputError: if the file is neither.
    """
    kernels, logit_weight = read_inception(path)
    try:
        network = Inception(kernels, logit_weight)
    except KeyError as error:
        raise InputError(
            f"{path} has no layer {error}; give the weights that torch-fidelity or clean-fid load"
        ) from error
    network = network.to(device, DTYPES[precision]).to(memory_format=torch.channels_last).eval()
    called = network if expected < COMPILE_FROM or device != "cpu" else _compiled(network, spec)
    return InceptionExtractor(spec, called, digest, device=device, precision=precision)


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
