"""Networks of timm from local files, images prepared as FD-loss does (arXiv:2604.28190).

What is a feature follows from the network: the class token after the last norm, the network's own
attention pooling where it has no class token, the mean over positions of a convolutional network,
before its head's norm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch

from ldmbench.catalog.extractors import ExtractorSpec
from ldmbench.features.checkpoint import assign, read_tensors
from ldmbench.features.extractor import DTYPES, Extractor, Use, normaliser

__all__ = ["UNUSED", "TimmExtractor", "load", "network"]

UNUSED = ("mask_token", "head.weight", "head.bias", "head.fc.weight", "head.fc.bias")
"""Tensors of a file that features do not need: of training, and of the layer of classes."""


class TimmExtractor(Extractor):
    """A network of timm behind its resizer."""

    def __init__(self, spec: ExtractorSpec, network: Any, use: Use) -> None:
        super().__init__(spec, network, use)
        self._scale = normaliser(spec.colours, self.device)

    def _forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self._scale(self._resized(images)).to(DTYPES[self.precision])
        found = self.network.forward_features(x)
        if self.spec.pool == "mean":
            return {"features": found.mean(dim=(2, 3))}
        if self.spec.pool == "attention":
            return {"features": self.network.pool(found)}
        return {"features": found[:, 0]}


def network(spec: ExtractorSpec) -> Any:
    """Return timm's network of a row, with no values, on the device meta."""
    with torch.device("meta"):
        return timm.create_model(
            spec.network, pretrained=False, num_classes=0, **dict[str, Any](spec.options)
        )


def load(spec: ExtractorSpec, path: Path, use: Use) -> TimmExtractor:
    """Load the file that timm publishes of a network (model.safetensors, pytorch_model.bin).

    Raises:
        InputError: if the file holds another network.
    """
    made = network(spec)
    assign(made, {n: t for n, t in read_tensors(path).items() if n not in UNUSED}, path)
    return TimmExtractor(spec, use.placed(made), use)
