"""The randomness of a training step, by the index of an image in its batch.

What is drawn depends on (train_seed, step, index in the batch) and on the size of the whole batch.
So a batch that is computed in parts, one after the other or by several processes, sees the same
noise as a batch that is computed at once.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ldmbench.train.inputs import generator_at

__all__ = ["Draws", "draws_at", "generators_at", "parts_of"]


class Draws(NamedTuple):
    """What a step draws for each image of its batch.

    Attributes:
        times: (B,), int64 in [0, T), or float32 in [0, 1] of a flow.
        noise: float32 N(0, 1), of the latents' shape (B, C, h, w).
        dropped: bool (B,), where the condition is not shown.
    """

    times: Tensor
    noise: Tensor
    dropped: Tensor

    def of(self, rows: slice) -> Draws:
        """Return those of some images of the batch."""
        return Draws(*(drawn[rows] for drawn in self))


def draws_at(
    step: int,
    *,
    seed: int,
    shape: tuple[int, ...],
    times: Callable[[int, torch.Generator], Tensor],
    drop: float,
    device: torch.device,
) -> Draws:
    """Return the draws of a whole batch; take those of a part of it by `Draws.of`.

    Args:
        step: from 0.
        seed: of the training.
        shape: (B, C, h, w) of the whole batch, whatever part of it is computed here.
        times: (B, generator) -> the times of B images.
        drop: share of images whose condition is not shown.
        device: where they are drawn; generators of devices differ.
    """
    g = generator_at("train-denoiser", seed, step, device)
    drawn = times(shape[0], g)
    noise = torch.randn(shape, generator=g, device=device)
    dropped = torch.rand(shape[0], generator=g, device=device) < drop
    return Draws(drawn, noise, dropped)


def generators_at(
    step: int, *, seed: int, rows: slice, device: torch.device
) -> list[torch.Generator]:
    """Return the generators of some images of a batch, of which their masks of dropout are drawn.

    Args:
        step: from 0.
        seed: of the training.
        rows: of the whole batch.
        device: where they draw.
    """
    at = range(rows.start, rows.stop)
    return [generator_at(f"train-dropout-{i}", seed, step, device) for i in at]


def parts_of(rows: slice, count: int) -> list[slice]:
    """Return `rows` in at most `count` parts without a gap, whose sizes differ by 1 at most.

    Examples:
        >>> parts_of(slice(4, 9), 2)
        [slice(4, 6, None), slice(6, 9, None)]
    """
    size = rows.stop - rows.start
    count = min(count, size)
    bounds = [rows.start + size * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(bounds)]
