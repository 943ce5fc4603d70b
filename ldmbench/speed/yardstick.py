"""The yardstick: a fixed workload that says how fast this machine is just now.

A speed divided by the yardstick's, measured in the same minutes, tells a slower program from a
busier or another machine. The workload never changes under its version; a new one takes another.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ldmbench.speed.timer import Timing, time_calls

__all__ = ["VERSION", "Yardstick", "yardstick"]

VERSION = "yardstick-v1"


@dataclass(frozen=True)
class Yardstick:
    """Median seconds of each part, and of all three together; `spread` is of the latter."""

    seconds: float
    convolution: float
    attention: float
    copy: float
    spread: float
    version: str = VERSION


def yardstick(*, repeats: int = 5, device: str | torch.device = "cpu") -> Yardstick:
    """Time a convolution, an attention and a copy, float32, sized like a small UNet's.

    On a CPU it takes about 0.05 s a repeat.
    """
    g = torch.Generator(device="cpu").manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g).to(device)

    x, kernel = normal(16, 64, 32, 32), normal(64, 64, 3, 3)
    q, k, v = (normal(16, 4, 256, 32) for _ in range(3))
    block = normal(4 * 2**20)

    def convolve() -> None:
        for _ in range(2):
            nn.functional.conv2d(x, kernel, padding=1)

    def attend() -> None:
        for _ in range(4):
            nn.functional.scaled_dot_product_attention(q, k, v)

    def copy() -> None:
        for _ in range(4):
            block.clone()

    with torch.inference_mode():
        parts = [
            time_calls(part, repeats=repeats, warmup=2, device=device)
            for part in (convolve, attend, copy)
        ]
    whole = Timing(tuple(sum(times) for times in zip(*(p.seconds for p in parts))))
    convolution, attention, copied = (p.median for p in parts)
    return Yardstick(whole.median, convolution, attention, copied, whole.spread)
