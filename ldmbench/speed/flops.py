"""FLOPs of a callable, counted by torch as it runs; 2 per multiply-add."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_flops", "sampling_flops"]


def count_flops(call: Callable[[], object]) -> int:
    """Return the FLOPs of convolutions, matrix products and attention in one call.

    Give it tensors and modules on the meta device to count without computing.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        call()
    return int(counted.get_total_flops())


def sampling_flops(
    *, evaluations: int, denoiser: int, condition: int = 0, decoder: int = 0, guided: bool = False
) -> int:
    """Return the FLOPs of one sampled image.

    Args:
        evaluations: of the denoiser, by the sampler's own count (Heun does about two a step).
        denoiser: FLOPs of one evaluation.
        condition: FLOPs of encoding one condition.
        decoder: FLOPs of decoding one latent.
        guided: whether every evaluation is done with and without the condition.
    """
    times = 2 if guided else 1
    return evaluations * denoiser * times + condition * times + decoder
