"""Dropout by step and index in the batch, so that resumed and divided trainings drop the same."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["IndexedDropout", "draw_from", "replace_dropout"]


class IndexedDropout(nn.Module):
    """`nn.Dropout` (arXiv:1207.0580) whose masks come from one generator for each image.

    Layers draw one after the other, so an image's masks depend on its generator alone, whatever
    else is in the batch. In evaluation it does nothing.

    Args:
        p: share of values that become 0; the others are divided by 1 - p.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.generators: Sequence[torch.Generator] = ()

    def forward(self, x: Tensor) -> Tensor:
        """Drop values of x (N, ...), float, N being the number of generators."""
        if not self.training:
            return x
        if len(self.generators) != len(x):
            raise RuntimeError(f"{len(self.generators)} generators for {len(x)} images")
        drawn = [torch.rand(x.shape[1:], generator=g, device=x.device) for g in self.generators]
        kept = torch.stack(drawn) >= self.p
        return x * kept / (1 - self.p)


def replace_dropout(network: nn.Module) -> None:
    """Put `IndexedDropout` in the place of every `nn.Dropout` that drops anything."""
    for holder in list(network.modules()):
        for name, part in holder.named_children():
            if isinstance(part, nn.Dropout) and part.p > 0:
                setattr(holder, name, IndexedDropout(part.p))


def draw_from(network: nn.Module, generators: Sequence[torch.Generator]) -> None:
    """Let the next pass in training draw its masks from these, one for each image of the batch."""
    for part in network.modules():
        if isinstance(part, IndexedDropout):
            part.generators = generators
