"""Exponential moving average of weights, with a warm-up."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Ema"]


class Ema:
    """The running average of a module's parameters.

    Update n (from 0) keeps `decay` of the average; with a warm-up min(decay, (1 + n) / (10 + n)),
    so that a short training is not dominated by its initial weights. Buffers are not averaged.
    """

    def __init__(self, module: nn.Module, decay: float, *, warmup: bool = True) -> None:
        self.decay, self.warmup = decay, warmup
        self.weights: dict[str, Tensor] = {
            name: p.detach().clone() for name, p in module.named_parameters()
        }

    @torch.no_grad()
    def update(self, module: nn.Module, n: int) -> None:
        """Take in the weights after optimiser step `n` (from 0)."""
        keep = min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay
        now = dict(module.named_parameters())
        averages = list(self.weights.values())
        torch._foreach_lerp_(averages, [now[name].detach() for name in self.weights], 1 - keep)

    @torch.no_grad()
    def load(self, weights: dict[str, Tensor]) -> None:
        """Overwrite the average, name by name."""
        for name, average in self.weights.items():
            average.copy_(weights[name])
