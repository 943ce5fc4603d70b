"""The optimiser: AdamW in float32, fused where torch has it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

__all__ = ["adamw", "set_rate"]


def adamw(
    weights: Iterable[nn.Parameter], *, lr: float, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.AdamW:
    """Return AdamW with weight decay 0.01."""
    held = list(weights)
    fused = held[0].device.type in ("cpu", "cuda")
    return torch.optim.AdamW(held, lr=lr, betas=betas, weight_decay=0.01, fused=fused)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate
