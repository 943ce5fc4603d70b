"""Train shapes-seg on `shapes` and write its weights (minutes on one core).

    python scripts/make_segmenter.py [--out FILE] [--steps N]

It sees indices at 1 << 42 and above under a seed of its own, so it shares no image with a split of
the dataset nor with another evaluator. Images are blurred, noisy and tinted, as samples of a model
may be. Weights are written as float16; index.json beside them has the digest.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ldmbench.canonical import digest_file
from ldmbench.data.shapes import COLOURS, render
from ldmbench.features.segmenter import SIDE, SegmenterNet, fitted
from ldmbench.models.files import seeded
from ldmbench.schema.weights import SHIPPED
from ldmbench.seeds import derive_seed

DATA_SEED = 700_002
FIRST = 1 << 42
BATCH = 16
RATE = 3e-3


def batch_of(number: int) -> tuple[Tensor, Tensor]:
    """Return images NCHW float32 in [-1, 1], side 64, and classes of pixels, int64 (N, 64, 64)."""
    indices = np.arange(FIRST + number * BATCH, FIRST + (number + 1) * BATCH)
    texture: Literal["plain", "fine"] = "plain" if number % 2 else "fine"
    side = 32 if number % 4 == 3 else SIDE
    drawn = render(indices, resolution=side, seed=DATA_SEED, texture=texture)
    assert drawn.masks is not None
    assert drawn.box_labels is not None
    table = np.concatenate([np.zeros((BATCH, 1), np.int64), drawn.box_labels + 1], 1)
    ids = np.take_along_axis(table, drawn.masks.reshape(BATCH, -1).astype(np.int64), 1)
    classes = torch.from_numpy(ids.reshape(drawn.masks.shape)).repeat_interleave(SIDE // side, 1)
    images = torch.from_numpy(drawn.images).permute(0, 3, 1, 2).float() / 127.5 - 1
    return fitted(images, (SIDE, SIDE)), classes.repeat_interleave(SIDE // side, 2)


def spoilt(images: Tensor, number: int) -> Tensor:
    """Return images of which a third is blurred, a third noisy, and all tinted a little."""
    g = torch.Generator().manual_seed(derive_seed("segmenter", number))
    soft = nn.functional.avg_pool2d(nn.functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    which = torch.randint(3, (len(images), 1, 1, 1), generator=g)
    images = torch.where(which == 1, soft, images)
    noise = torch.randn(images.shape, generator=g) * 0.1
    images = images + torch.where(which == 2, noise, 0.0)
    return images + 0.06 * torch.randn((len(images), 3, 1, 1), generator=g)


def loss_of(net: SegmenterNet, images: Tensor, classes: Tensor) -> Tensor:
    """Return the cross-entropy of shapes everywhere and of colours where there is an object."""
    kinds, colours = net(images)
    there = classes > 0
    shape = torch.where(there, (classes - 1).clamp(min=0) // len(COLOURS) + 1, 0)
    weight = torch.tensor([1.0] + [4.0] * 6)
    colour = ((classes - 1).clamp(min=0) % len(COLOURS))[there]
    first = nn.functional.cross_entropy(kinds, shape, weight=weight)
    return first + nn.functional.cross_entropy(colours.permute(0, 2, 3, 1)[there], colour)


def train(steps: int) -> SegmenterNet:
    """Train the network."""
    net = seeded(SegmenterNet, derive_seed("segmenter-weights"))
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, fused=True)
    for n in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (n + 1) / 50, 1.5 * (steps - n) / steps)
        images, classes = batch_of(n)
        loss = loss_of(net, spoilt(images, n), classes)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if n % 50 == 49:
            sys.stderr.write(f"step {n + 1}: loss {loss.item():.3f}\n")
    return net


@torch.no_grad()
def agreement(net: SegmenterNet, batches: int = 8) -> tuple[float, float]:
    """Return the share of pixels, and of pixels of objects, that are right, of unseen images."""
    right, objects = [], []
    for n in range(batches):
        images, classes = batch_of((1 << 20) + n)
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        ids, _ = net.classes(pixels.permute(0, 2, 3, 1).numpy())
        same = torch.from_numpy(ids) == classes
        right.append(same.float().mean().item())
        objects.append(same[classes > 0].float().mean().item())
    return float(np.mean(right)), float(np.mean(objects))


def main() -> None:
    """Train, say how well it does, write the weights and their digest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED / "shapes-seg.safetensors")
    parser.add_argument("--steps", type=int, default=3500)
    args = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    net = train(args.steps).eval()
    pixels, objects = agreement(net)
    sys.stderr.write(f"held out: pixels {pixels:.4f}, of objects {objects:.4f}\n")
    tensors = {name: t.half().contiguous() for name, t in net.state_dict().items()}
    save_file(tensors, args.out, metadata={"format": "pt"})
    index = SHIPPED / "index.json"
    if args.out.parent == SHIPPED:
        rows = json.loads(index.read_text("utf-8"))["weights"]
        row = {
            "name": "shapes-seg",
            "file": args.out.name,
            "sha256": digest_file(args.out),
            "bytes": args.out.stat().st_size,
            "kind": "segmenter",
        }
        rows = [r for r in rows if r["name"] != row["name"]] + [row]
        rows.sort(key=lambda r: str(r["name"]))
        index.write_text(json.dumps({"weights": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
