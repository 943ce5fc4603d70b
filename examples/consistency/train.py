"""Train the MeanFlow network on latents of `shapes`: `python train.py` writes weights.pt."""

from __future__ import annotations

import argparse
import copy
import sys
import time
from pathlib import Path

import torch
from meanflow import FIRST_STAGE, Network
from torch import Tensor

from ldmbench.data.shapes import render, split_indices
from ldmbench.models import load


def latents(count: int) -> Tensor:
    """Return the latents of training images, (N, C, h, w)."""
    first_stage, parts = load(FIRST_STAGE), []
    for start in range(0, count, 256):
        indices = split_indices("train", start, min(start + 256, count))
        images = torch.from_numpy(render(indices, resolution=32).images)
        parts.append(first_stage.encode(images.permute(0, 3, 1, 2) / 127.5 - 1))
    return torch.cat(parts)


def errors(network: Network, x: Tensor, apart: float, g: torch.Generator) -> Tensor:
    """Return the squared error of each image, (N,); a share `apart` has r < t, the rest r = t.

    The target of u is v - (t - r) du/dt, and du/dt = v . du/dz + du/dt is one product with the
    Jacobian.
    """
    e = torch.randn(x.shape, generator=g)
    pair = torch.sigmoid(torch.randn(2, len(x), generator=g) - 0.4)
    t, r = pair.amax(0), pair.amin(0)
    split = int(apart * len(x))
    r = torch.cat([r[:split], t[split:]])
    z, v = x + t[:, None, None, None] * (e - x), e - x
    u = network(z, r, t)
    one = torch.ones(split)
    with torch.no_grad():
        _, slope = torch.func.jvp(
            network, (z[:split], r[:split], t[:split]), (v[:split], 0 * one, one)
        )
        target = v.clone()
        target[:split] -= (t - r)[:split, None, None, None] * slope
    return (u - target).square().flatten(1).mean(1)


def train(
    *, steps: int, images: int, batch: int = 64, apart: float = 0.5, rate: float = 2e-3
) -> dict[str, Tensor]:
    """Return the averaged weights."""
    g = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    data, network = latents(images), Network()
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 50, 3 * (1 - step / steps))
        rows = torch.randint(len(data), (batch,), generator=g)
        squares = errors(network, data[rows], apart, g)
        optimizer.zero_grad()
        weights = 1 / (squares.detach() + 1e-3)  # the paper's adaptive ones, p = 1
        (weights * squares).mean().backward()
        optimizer.step()
        keep = min(0.995, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, now in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(now, 1 - keep)
        if step % 100 == 0 or step == steps - 1:
            sys.stderr.write(f"step {step}: squared error {squares.mean():.4f}\n")
    return average.state_dict()


def main() -> None:
    """Train, write the weights, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("weights.pt"))
    given = parser.parse_args()
    start, used = time.perf_counter(), time.process_time()
    torch.save(train(steps=given.steps, images=given.images), given.out)
    took, used = time.perf_counter() - start, time.process_time() - used
    sys.stderr.write(f"{given.out}: {took:.0f} s, {used:.0f} s of processor time\n")


if __name__ == "__main__":
    main()
