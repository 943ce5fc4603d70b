"""The yardstick: a fixed workload that says how fast this machine is just now.

A time divided by the yardstick's, measured in the same moment, tells a slower program from a
busier machine. The workload never changes under its version; a new one takes another.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

__all__ = ["VERSION", "yardstick"]

VERSION = "yardstick-v2"


def yardstick(*, device: str | torch.device = "cpu") -> Callable[[], None]:
    """Return a fixed workload in float32, mixed as a small UNet mixes it.

    Convolutions of a batch and of a single small image (where calling costs more than computing),
    an attention, and copies that do not fit a cache. A call takes about 10 ms on one core; on an
    accelerator the tensors are larger.
    """
    g = torch.Generator(device="cpu").manual_seed(0)
    wide = 1 if torch.device(device).type == "cpu" else 4

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g).to(device)

    channels, side = 32 * wide, 16 * wide
    x, kernel = normal(8, channels, side, side), normal(channels, channels, 3, 3)
    one, small = normal(1, 16, 8, 8), normal(16, 16, 3, 3)
    q, k, v = (normal(8, wide, 256, 32) for _ in range(3))
    block = normal(2 * wide * 2**20)

    @torch.inference_mode()
    def work() -> None:
        for _ in range(3):
            nn.functional.silu(nn.functional.conv2d(x, kernel, padding=1))
        for _ in range(40):
            nn.functional.silu(nn.functional.conv2d(one, small, padding=1))
        for _ in range(2):
            nn.functional.scaled_dot_product_attention(q, k, v)
        block.clone()

    return work
