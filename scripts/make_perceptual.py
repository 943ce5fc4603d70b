"""Train the network of the perceptual loss on `shapes` and write its weights (about a minute).

    python scripts/make_perceptual.py [--out FILE] [--steps N]

The network tells which of the 48 coloured shapes an image shows and its background, at 32 and 64
pixels, in both textures. It sees a dataset seed of its own, so it shares no image with the
evaluators nor with the training of any model.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ldmbench.data.shapes import BACKGROUNDS, CLASSES, render, scene, split_indices
from ldmbench.features.perceptual import WEIGHTS, WIDTHS, PerceptualNet
from ldmbench.models.files import seeded
from ldmbench.seeds import derive_seed

DATA_SEED = 700_001
BATCH = 64


class Head(nn.Module):
    """Pooled activations of the last layer -> which objects, which background; thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(WIDTHS[-1], 192, 3, padding=1)
        self.objects = nn.Linear(2 * 192, len(CLASSES))
        self.background = nn.Linear(2 * 192, len(BACKGROUNDS))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, 48) and (N, 6)."""
        x = nn.functional.silu(self.mix(x))
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)
        return self.objects(pooled), self.background(pooled)


def batch_of(split: str, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return images NCHW float32 in [-1, 1], objects float32 (N, 48), backgrounds int64 (N,)."""
    indices = split_indices(split, number * BATCH, (number + 1) * BATCH)
    texture: Literal["plain", "fine"] = "plain" if number % 2 else "fine"
    drawn = render(
        indices, resolution=64 if number % 4 < 2 else 32, seed=DATA_SEED, texture=texture
    )
    images = torch.from_numpy(drawn.images).permute(0, 3, 1, 2).float() / 127.5 - 1
    objects = torch.zeros(BATCH, len(CLASSES) + 1)
    assert drawn.box_labels is not None
    labels = torch.from_numpy(drawn.box_labels)
    objects.scatter_(1, torch.where(labels < 0, len(CLASSES), labels), 1.0)
    background = torch.from_numpy(np.asarray(scene(indices, DATA_SEED).background))
    return images, objects[:, :-1], background


def train(steps: int) -> tuple[PerceptualNet, Head]:
    """Train network and head."""
    net, head = seeded(lambda: (PerceptualNet(), Head()), derive_seed("perceptual"))
    optimizer = torch.optim.AdamW([*net.parameters(), *head.parameters()], lr=2e-3, fused=True)
    for n in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (n + 1) / 50, 2 * (steps - n) / steps)
        images, objects, background = batch_of("train", n)
        which, behind = head(net.features(images)[-1])
        loss = nn.functional.cross_entropy(behind, background)
        loss = loss + 10 * nn.functional.binary_cross_entropy_with_logits(which, objects)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if n % 100 == 99:
            sys.stderr.write(f"step {n + 1}: loss {loss.item():.3f}\n")
    return net, head


@torch.no_grad()
def accuracy(net: PerceptualNet, head: Head, batches: int = 16) -> tuple[float, float]:
    """Return the average precision of objects and the accuracy of backgrounds, held out."""
    hits, right = [], []
    for n in range(batches):
        images, objects, background = batch_of("validation", n)
        which, behind = head(net.features(images)[-1])
        count = objects.sum(1).long()
        ranked = objects.gather(1, which.argsort(1, descending=True))
        hits += [float(row[:k].mean()) for row, k in zip(ranked, count) if k]
        right.append(behind.argmax(1).eq(background).float().mean().item())
    return float(np.mean(hits)), float(np.mean(right))


def main() -> None:
    """Train, say how well it does, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--steps", type=int, default=1200)
    args = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    net, head = train(args.steps)
    objects, backgrounds = accuracy(net, head)
    sys.stderr.write(f"held out: objects {objects:.3f}, backgrounds {backgrounds:.3f}\n")
    save_file(net.state_dict(), args.out, metadata={"format": "pt"})


if __name__ == "__main__":
    main()
