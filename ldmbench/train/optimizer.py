"""The optimiser: AdamW in float32, fused where torch has it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ldmbench.schema.optimisation import Optimised

__all__ = ["adamw", "bound_gradients", "gradient_norm", "gradients_of", "set_rate"]


_TINY = 1e-6
"""What torch adds to a norm before it divides by it."""


def adamw(
    weights: Iterable[nn.Parameter],
    params: Optimised,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.AdamW:
    """Return AdamW (arXiv:1711.05101).

    Args:
        weights: what it trains; all on one device.
        params: its weight decay, and its betas where they are stated.
        lr: its rate before `set_rate`.
        betas: where `params` does not state them.
    """
    held = list(weights)
    fused = held[0].device.type in ("cpu", "cuda")
    return torch.optim.AdamW(
        held, lr=lr, betas=params.betas or betas, weight_decay=params.weight_decay, fused=fused
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def gradient_norm(weights: Iterable[nn.Parameter]) -> Tensor:
    """Return the Euclidean norm of all gradients together, a scalar."""
    return torch.nn.utils.get_total_norm(gradients_of(weights))


def gradients_of(weights: Iterable[nn.Parameter]) -> list[Tensor]:
    """Return the gradients of all weights that have one."""
    return [p.grad for p in weights if p.grad is not None]


def bound_gradients(weights: Iterable[nn.Parameter], most: float) -> Tensor:
    """Scale all gradients so that their norm is `most` at the most; return what it was.

    A CPU scales those alone that are too long: the others would be multiplied by 1. A GPU scales
    always, since to look at the norm would make the program wait for it.
    """
    held = list(weights)
    norm = gradient_norm(held)
    if norm.device.type != "cpu" or not bool(most / (norm + _TINY) >= 1):
        torch.nn.utils.clip_grads_with_norm_(held, most, norm)
    return norm
