"""A few-step model in plain torch: MeanFlow (arXiv:2505.13447) on latents of `shapes`.

The network u(z, r, t) is the mean velocity between times r < t of a straight path from an image
(time 0) to noise (time 1), so z_r = z_t - (t - r) u(z_t, r, t): one evaluation makes an image.
`train.py` writes the weights; the suite beside it measures 1, 2 and 4 evaluations.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from ldmbench.models import load
from ldmbench.schema.weights import FIRST_STAGES_FOLDER

# what `steps` of a suite are for this model: ldmbench reads it, tables and figures say it
STEPS = "evaluations"
SHAPE = (3, 8, 8)  # of the latents of 32 x 32 pixels
FIRST_STAGE = FIRST_STAGES_FOLDER / "shapes-kl-f4"
HEADS = 4


class Block(nn.Module):
    """Attention and a network of each token, both moved and scaled by the times."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.times = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.times.weight)
        nn.init.zeros_(self.times.bias)

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        """Return tokens like x (B, N, width) of times (B, width)."""
        one, two, three, four, five, six = self.times(fn.silu(times))[:, None].chunk(6, dim=2)
        q, k, v = self.qkv(norm(x) * (1 + one) + two).unflatten(2, (3, HEADS, -1)).unbind(2)
        # written out: torch.func.jvp cannot go through fused attention
        near = torch.einsum("bihd,bjhd->bhij", q, k) / q.shape[3] ** 0.5
        seen = torch.einsum("bhij,bjhd->bihd", near.softmax(3), v).flatten(2)
        x = x + three * self.out(seen)
        return x + six * self.down(fn.gelu(self.up(norm(x) * (1 + four) + five)))


def norm(x: Tensor) -> Tensor:
    """Return tokens of mean 0 and variance 1."""
    return fn.layer_norm(x, x.shape[-1:])


class Network(nn.Module):
    """A small transformer on patches of 2 x 2 latents; its output is 0 before training."""

    def __init__(self, width: int = 128, depth: int = 3) -> None:
        super().__init__()
        self.read = nn.Linear(4 * SHAPE[0], width)
        self.place = nn.Parameter(0.02 * torch.randn(1, SHAPE[1] * SHAPE[2] // 4, width))
        self.clock = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.write = nn.Linear(width, 4 * SHAPE[0])
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.write.bias)

    def forward(self, z: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """Return the mean velocity, like z (B, C, h, w), of times (B,)."""
        times = self.clock(torch.cat([waves(t), waves(t - r)], dim=1))
        x = self.read(fn.pixel_unshuffle(z, 2).flatten(2).transpose(1, 2)) + self.place
        for block in self.blocks:
            x = block(x, times)
        x = self.write(norm(x)).transpose(1, 2).unflatten(2, (SHAPE[1] // 2, -1))
        return fn.pixel_shuffle(x, 2)


def waves(t: Tensor) -> Tensor:
    """Return 32 sines and cosines of times (B,)."""
    rates = torch.logspace(0, 1.2, 16, device=t.device)  # slow ones: du/dt has to be smooth
    return torch.cat([(t[:, None] * rates).sin(), (t[:, None] * rates).cos()], dim=1)


class MeanFlow:
    """The model of the suite; without `weights` it is an untrained network."""

    shape = SHAPE

    def __init__(self, weights: str = "") -> None:
        self.first_stage = load(FIRST_STAGE)
        self.network = Network().eval()
        if weights:
            file = Path(__file__).parent / weights
            self.network.load_state_dict(torch.load(file, weights_only=True))

    def to(self, device: str) -> None:
        """Move both networks."""
        self.network.to(device)
        self.first_stage = load(FIRST_STAGE).to(device)

    @torch.no_grad()
    def sample(
        self,
        noise: Tensor,
        *,
        steps: int,
        cond: object = None,
        guidance: float = 1.0,
        seeds: list[int] | None = None,
    ) -> Tensor:
        """Return uint8 NHWC after `steps` evaluations of the network, from time 1 to 0."""
        z, times = noise, torch.linspace(1, 0, steps + 1).tolist()
        for t, r in pairwise(times):
            one = torch.ones(len(z), device=z.device)
            z = z - (t - r) * self.network(z, r * one, t * one)
        x = self.first_stage.decode(z).clamp(-1, 1)
        return ((x + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
