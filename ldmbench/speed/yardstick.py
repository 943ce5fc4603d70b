"""The yardstick: a fixed workload that says how fast this machine is just now.

A time divided by the yardstick's, measured in the same moment, tells a slower program from a
busier machine; the more the yardstick is like what is timed, the better. So it is a small UNet
with attention. It never changes under its version; another workload takes another.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["VERSION", "yardstick"]

VERSION = "yardstick-v3"
WORDS, CONTEXT, GROUPS = 8, 32, 8


def yardstick(*, device: str | torch.device = "cpu") -> Callable[[], None]:
    """Return a fixed workload in float32: three passes through UNets, and a copy.

    One pass of a batch, one of larger images, and one of a single image, where calling costs more
    than computing; the copy fits no cache. A call takes about 25 ms on one core; on an accelerator
    all but the single image are larger.
    """
    wide = torch.device(device).type != "cpu"
    channels, side = (128, 64) if wide else (16, 16)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would seed accelerators too
        made = [
            _pass(_UNet(channels), 4, side, device),
            _pass(_UNet(channels), 2, 2 * side, device),
            _pass(_UNet(16), 1, 16, device),
        ]
    block = torch.ones((64 if wide else 4) * 2**20, device=device)

    @torch.inference_mode()
    def work() -> None:
        for unet, inputs in made:
            unet(*inputs)
        block.clone()

    return work


def _pass(
    unet: nn.Module, batch: int, side: int, device: str | torch.device
) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return a network and what it is called with."""
    inputs = (
        torch.randn(batch, 3, side, side),
        torch.rand(batch),
        torch.randn(batch, WORDS, CONTEXT),
    )
    return unet.to(device), tuple(part.to(device) for part in inputs)


class _UNet(nn.Module):
    """Two resolutions, six residual blocks, three attentions."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        wide = 2 * width
        self.time = nn.Sequential(nn.Linear(width, wide), nn.SiLU(), nn.Linear(wide, wide))
        self.first, self.last = _conv(3, width), _conv(width, 3)
        self.down, self.up = _conv(width, width, stride=2), _conv(wide, wide)
        self.blocks = nn.ModuleList(
            _Block(inner, outer, wide)
            for inner, outer in (
                (width, width), (width, wide), (wide, wide), (wide, wide), (2 * wide, wide),
                (wide + width, width),
            )
        )  # fmt: skip
        self.attentions = nn.ModuleList(_Attention(wide) for _ in range(3))
        self.register_buffer("frequencies", torch.linspace(0, 6, width // 2).exp())

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        angles = t[:, None] * self.frequencies
        t = self.time(torch.cat([angles.sin(), angles.cos()], dim=1))
        fine = self.blocks[0](self.first(x), t)
        coarse = self.attentions[0](self.blocks[1](self.down(fine), t), context)
        x = self.blocks[3](self.attentions[1](self.blocks[2](coarse, t), context), t)
        x = self.attentions[2](self.blocks[4](torch.cat([x, coarse], dim=1), t), context)
        x = self.up(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        x = self.blocks[5](torch.cat([x, fine], dim=1), t)
        out: Tensor = self.last(functional.silu(x))
        return out


class _Block(nn.Module):
    """A residual block with a time embedding."""

    def __init__(self, inner: int, outer: int, time: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.GroupNorm(GROUPS, inner), nn.GroupNorm(GROUPS, outer)])
        self.convs = nn.ModuleList([_conv(inner, outer), _conv(outer, outer)])
        self.time = nn.Linear(time, outer)
        self.skip = nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        h = (
            self.convs[0](functional.silu(self.norms[0](x)))
            + self.time(functional.silu(t))[:, :, None, None]
        )
        out: Tensor = self.skip(x) + self.convs[1](functional.silu(self.norms[1](h)))
        return out


class _Attention(nn.Module):
    """Attention of pixels to each other and to a context, and a gated layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // 8
        self.norm = nn.GroupNorm(GROUPS, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.queries = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.keys = nn.ModuleList(nn.Linear(into, 2 * width) for into in (width, CONTEXT))
        self.outs = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.gate, self.out = nn.Linear(width, 8 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        shape = x.shape
        h = self.norm(x).flatten(2).transpose(1, 2)
        for i in range(2):
            own = self.norms[i](h)
            h = h + self.outs[i](self._attend(i, own, context if i else own))
        value, gate = self.gate(self.norms[2](h)).chunk(2, dim=-1)
        h = h + self.out(value * functional.gelu(gate))
        out: Tensor = x + h.transpose(1, 2).reshape(shape)
        return out

    def _attend(self, i: int, own: Tensor, other: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.queries[i](own), *self.keys[i](other).chunk(2, dim=-1))
        )
        out: Tensor = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return out


def _conv(inner: int, outer: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inner, outer, 3, stride=stride, padding=1)
