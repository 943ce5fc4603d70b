"""Make the embedded evaluators, shapes-net and shapes-clip, from the dataset `shapes` alone.

    python scripts/make_evaluators.py net clip

Images come from indices at 1 << 42 and above, which no split of the dataset uses. Weights go to
ldmbench/features/weights as safetensors, and their digests to index.json beside them.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import click
import numpy as np
import torch
import torch.nn.functional as fn
from safetensors.torch import save_file
from torch import nn

from ldmbench.canonical import digest_file
from ldmbench.data.shapes import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    SHAPES,
    SIZES,
    Scene,
    render,
    scene,
)
from ldmbench.features.clip import clip_pixels, shapes_clip
from ldmbench.features.resize import bilinear_aa
from ldmbench.features.shapes_net import CONTENT, GAIN, SIDE, Readout, ShapesNet
from ldmbench.features.tokenizer import WordTokenizer
from ldmbench.schema.weights import SHIPPED
from ldmbench.seeds import derive_seed

Net = TypeVar("Net", bound=nn.Module)

log = logging.getLogger("make_evaluators")

FIRST = 1 << 42
CORRUPTIONS = ("blur", "noise", "hue", "fade", "blend", "warp")
GRAIN = 3.3  # standard deviation of the plain texture's noise, grey levels


@dataclass(frozen=True)
class Drawn:
    """A training batch: images float NCHW in [0, 255], and the attributes' targets."""

    images: torch.Tensor
    texture: str
    captions: tuple[str, ...]
    wrong: tuple[str, ...]
    label: torch.Tensor
    count: torch.Tensor
    background: torch.Tensor
    size: torch.Tensor
    shape: torch.Tensor
    colour: torch.Tensor


def draw(start: int, stop: int, *, resolution: int, texture: str) -> Drawn:
    """Render images start..stop of the evaluators' own range, with the targets of each place."""
    indices = np.arange(FIRST + start, FIRST + stop, dtype=np.int64)
    batch = render(indices, resolution=resolution, texture=texture)  # type: ignore[arg-type]
    scenes = scene(indices)
    places = {
        name: np.full((len(indices), 9), empty, dtype=np.int64)
        for name, empty in (("size", 0), ("shape", -1), ("colour", -1))
    }
    rows, slots = np.nonzero(scenes.shape >= 0)
    at = (rows, scenes.place[rows, slots])
    places["size"][at] = scenes.size[rows, slots] + 1
    places["shape"][at] = scenes.shape[rows, slots]
    places["colour"][at] = scenes.colour[rows, slots]
    return Drawn(
        images=torch.from_numpy(batch.images).permute(0, 3, 1, 2).float(),
        texture=texture,
        captions=batch.captions,
        wrong=wrong_captions(scenes, 1, np.random.default_rng(derive_seed("wrong", start))),
        label=torch.from_numpy(scenes.label),
        count=torch.from_numpy(scenes.count - 1),
        background=torch.from_numpy(scenes.background),
        **{name: torch.from_numpy(values) for name, values in places.items()},
    )


def wrong_captions(scenes: Scene, count: int, rng: np.random.Generator) -> tuple[str, ...]:
    """Return captions with one attribute changed: `count` for the first scene, and so on."""
    tables = (SHAPES, COLOURS, SIZES, PLACES)
    out = []
    for i, n in enumerate(scenes.count):
        parts = (scenes.shape, scenes.colour, scenes.size, scenes.place)
        true = [[int(part[i, slot]) for part in parts] for slot in range(n)]
        for _ in range(count):
            objects, back = [list(row) for row in true], int(scenes.background[i])
            what = int(rng.integers(4 * n + 1))
            if rng.random() < 0.5:
                what = 4 * int(rng.integers(n))  # shapes are what is hardest to see
            if what == 4 * n:
                back = _other(back, len(BACKGROUNDS), rng)
            else:
                slot, field = divmod(what, 4)
                objects[slot][field] = _other(objects[slot][field], len(tables[field]), rng)
            texts = [
                f"a {SIZES[size]} {COLOURS[colour]} {SHAPES[shape]} {PLACES[place]}"
                for shape, colour, size, place in objects
            ]
            out.append(", ".join([*texts, f"on a {BACKGROUNDS[back]} background"]))
    return tuple(out)


def _other(value: int, bound: int, rng: np.random.Generator) -> int:
    return (value + 1 + int(rng.integers(bound - 1))) % bound


def batches(steps: int, size: int) -> Iterator[Drawn]:
    """Yield `steps` batches of new images, of changing resolution and texture."""
    kinds = [(r, t) for r in (32, 64, 32, 64, 48) for t in ("plain", "fine")]
    for step in range(steps):
        resolution, texture = kinds[step % len(kinds)]
        yield draw(step * size, (step + 1) * size, resolution=resolution, texture=texture)


# ---------------------------------------------------------------- corruptions


@dataclass(frozen=True)
class Spoiled:
    """Images with the quality that shapes-net is to say of them.

    Attributes:
        images: like those that were spoiled, whole numbers in [0, 255].
        quality: (N, 6): log2 of the blur (1 / 64 of the side, with the pixel's own width), log2 of
            the noise against the plain texture's, and four strengths in [0, 1].
        known: (N, 6): where `quality` is a target.
        seen: (N,): whether shapes, sizes and places can still be read.
        coloured: (N,): whether colours can.
    """

    images: torch.Tensor
    quality: torch.Tensor
    known: torch.Tensor
    seen: torch.Tensor
    coloured: torch.Tensor


def corrupt(x: torch.Tensor, texture: str, rng: torch.Generator) -> Spoiled:
    """Spoil the second half of a batch, each image in one way at its own strength."""
    n, side = len(x), x.shape[3]
    u = torch.rand(n, generator=rng)
    kind = torch.randint(len(CORRUPTIONS), (n,), generator=rng)
    kind[: n // 2] = -1
    pixel, grain = SIDE / side, {"plain": 1.0, "fine": 2.0}[texture]
    sigma = torch.where(kind == 0, 0.2 * 20**u * side / SIDE, 0.0)
    sound = torch.where(kind == 1, 2 * 60**u, 0.0)
    strength = torch.where(kind[:, None] == torch.arange(6), u[:, None] ** 1.5, 0.0)
    out = x.clone()
    for k, name in enumerate(CORRUPTIONS):
        rows = (kind == k).nonzero()[:, 0]
        if len(rows):
            amount = (sigma, sound)[k] if k < 2 else strength[:, k]
            out[rows] = SPOIL[name](x[rows], amount[rows], rng)
    width = pixel * (1 + (2 * sigma) ** 2).sqrt()
    quality = strength.clone()
    quality[:, 0] = width.log2()
    quality[:, 1] = 0.5 * (grain**2 + (sound / GRAIN) ** 2).log2()
    known = torch.ones_like(quality, dtype=torch.bool)
    known[:, 0] = (kind <= 0) | (kind == 2)
    known[:, 1] = (kind == -1) | (kind == 1) | (kind == 2)
    seen = (width < 5) & (sound < 60) & (strength[:, 3:] < 0.6).all(dim=1)
    return Spoiled(
        images=out.clamp(0, 255).round(),
        quality=quality,
        known=known,
        seen=seen,
        coloured=seen & (strength[:, 2] < 0.06),
    )


def _blur(x: torch.Tensor, sigma: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    at = torch.arange(-8, 9)
    kernel = torch.exp(-(at**2) / (2 * sigma[:, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)
    flat = fn.pad(x.reshape(1, -1, *x.shape[2:]), (8, 8, 8, 8), mode="reflect")
    flat = fn.conv2d(flat, kernel[:, None, :, None], groups=len(kernel))
    return fn.conv2d(flat, kernel[:, None, None, :], groups=len(kernel)).view_as(x)


def _noise(x: torch.Tensor, sigma: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    coarse = torch.rand(len(x), generator=rng) < 0.2
    grain = torch.randn(x.shape, generator=rng)
    half = torch.randn((*x.shape[:2], x.shape[2] // 2, x.shape[3] // 2), generator=rng)
    half = fn.interpolate(half, list(x.shape[2:]))
    grain = torch.where(coarse[:, None, None, None], half, grain)
    return x + grain * sigma[:, None, None, None]


def _hue(x: torch.Tensor, strength: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    angle = math.pi * strength * torch.randn(len(x), generator=rng).sign()
    axis = torch.full((3, 3), 1 / 3)
    cross = (torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])) / math.sqrt(3)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    turn = cos * torch.eye(3) + (1 - cos) * axis + sin * cross
    return torch.einsum("nij,njhw->nihw", turn, x)


def _fade(x: torch.Tensor, strength: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    grey = torch.rand((len(x), 1, 1, 1), generator=rng) * 255
    return x + (grey - x) * 0.8 * strength[:, None, None, None]


def _blend(x: torch.Tensor, strength: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    return x + (x.roll(1, 0) - x) * 0.5 * strength[:, None, None, None]


def _warp(x: torch.Tensor, strength: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    shift = torch.randn((len(x), 2, 9, 9), generator=rng)
    shift = fn.interpolate(shift, list(x.shape[2:]), mode="bicubic", align_corners=True)
    base = fn.affine_grid(torch.eye(2, 3).expand(len(x), 2, 3), list(x.shape), align_corners=False)
    grid = base + (shift * (0.16 * strength)[:, None, None, None]).permute(0, 2, 3, 1)
    return fn.grid_sample(x, grid, padding_mode="border", align_corners=False)


Spoil = Callable[[torch.Tensor, torch.Tensor, torch.Generator], torch.Tensor]
SPOIL: dict[str, Spoil] = {
    "blur": _blur,
    "noise": _noise,
    "hue": _hue,
    "fade": _fade,
    "blend": _blend,
    "warp": _warp,
}


# ---------------------------------------------------------------- shapes-net


def net_loss(read: Readout, quality: torch.Tensor, drawn: Drawn, spoiled: Spoiled) -> torch.Tensor:
    """Return the sum of the heads' losses; what corruption made unreadable is left out."""
    seen, coloured = spoiled.seen, spoiled.coloured
    colour = torch.where(coloured[:, None], drawn.colour, -1)
    shape = torch.where(seen[:, None], drawn.shape, -1)
    size = torch.where(seen[:, None], drawn.size, -1)
    label = torch.where(coloured, drawn.label, -1)
    background = torch.where(coloured, drawn.background, -1)
    loss = fn.cross_entropy(read.label, label, ignore_index=-1)
    loss = loss + 0.5 * fn.cross_entropy(read.background, background, ignore_index=-1)
    loss = loss + 0.5 * fn.cross_entropy(read.count[seen], drawn.count[seen])
    loss = loss + 2 * fn.cross_entropy(read.size.flatten(0, 1), size.flatten(), ignore_index=-1)
    loss = loss + 2 * fn.cross_entropy(read.shape.flatten(0, 1), shape.flatten(), ignore_index=-1)
    loss = loss + fn.cross_entropy(read.colour.flatten(0, 1), colour.flatten(), ignore_index=-1)
    error = fn.smooth_l1_loss(quality, spoiled.quality, beta=0.1, reduction="none")
    return loss + 2 * error[spoiled.known].mean()


def train_net(steps: int, size: int) -> ShapesNet:
    """Train shapes-net; prints the loss now and then."""
    rng = seeded("shapes-net")
    net = ShapesNet().to(memory_format=torch.channels_last)
    data = batches(steps, size)
    return fit(net, data, steps, lambda drawn: _net_step(net, drawn, rng), rate=4e-3)


def _net_step(net: ShapesNet, drawn: Drawn, rng: torch.Generator) -> torch.Tensor:
    spoiled = corrupt(drawn.images, drawn.texture, rng)
    features, _ = net(resized(spoiled.images, SIDE).contiguous(memory_format=torch.channels_last))
    return net_loss(net.read(features), features[:, CONTENT:] / GAIN, drawn, spoiled)


def resized(images: torch.Tensor, side: int) -> torch.Tensor:
    """Return images as an extractor resizes them: float NCHW."""
    return bilinear_aa(images.permute(0, 2, 3, 1), side)


# ---------------------------------------------------------------- shapes-clip


class Tutor(nn.Module):
    """Reads a scene from an embedding, of an image or of a caption; thrown away after training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.places = nn.Linear(width, 9 * 17)
        self.background = nn.Linear(width, 6)

    def forward(self, embedding: torch.Tensor, drawn: Drawn) -> torch.Tensor:
        """Return the loss of reading `drawn` from normalised embeddings (N, D)."""
        x = embedding * 12
        size, shape, colour = self.places(x).unflatten(1, (9, 17)).split([3, 6, 8], dim=2)
        loss = fn.cross_entropy(self.background(x), drawn.background)
        loss = loss + 2 * fn.cross_entropy(size.flatten(0, 1), drawn.size.flatten())
        for weight, logits, target in ((3, shape, drawn.shape), (1, colour, drawn.colour)):
            found = fn.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-1)
            loss = loss + weight * found
        return loss


def train_clip(steps: int, size: int) -> Any:
    """Train shapes-clip on captions and on captions that are wrong in one attribute."""
    rng = seeded("shapes-clip")
    model = shapes_clip()
    model.visual.to(memory_format=torch.channels_last)
    tutor = Tutor(model.text_projection.shape[1])
    both = nn.ModuleList([model, tutor])
    tokens = WordTokenizer()
    fit(
        both,
        batches(steps, size),
        steps,
        lambda drawn: _clip_step(model, tutor, tokens, drawn, rng),
        rate=2e-3,
    )
    return model


def _clip_step(
    model: Any, tutor: Tutor, tokens: WordTokenizer, drawn: Drawn, rng: torch.Generator
) -> torch.Tensor:
    images = clip_pixels(resized(_jitter(drawn.images, rng), model.visual.image_size))
    seen = fn.normalize(model.encode_image(images), dim=-1)
    text = tokens(drawn.captions + drawn.wrong)
    said = fn.normalize(model.encode_text(text), dim=-1)
    scale = model.logit_scale.exp().clamp(max=100)
    logits = scale * seen @ said.T
    n = len(seen)
    at = torch.arange(n)
    own = torch.stack([at, n + at], dim=1)
    loss = fn.cross_entropy(logits, at) + fn.cross_entropy(logits[:, :n].T, at)
    loss = loss + fn.cross_entropy(logits.gather(1, own), torch.zeros_like(at))
    return loss + 0.5 * (tutor(seen, drawn) + tutor(said[:n], drawn))


def _jitter(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Blur or add noise to some images a little, so that samples need not be flawless."""
    out = x.clone()
    quarter = len(x) // 4
    mild = torch.rand(quarter, generator=rng)
    out[:quarter] = _blur(x[:quarter], 0.2 + mild, rng)
    out[quarter : 2 * quarter] = _noise(x[quarter : 2 * quarter], 36 * mild, rng)
    return out.clamp(0, 255)


# ---------------------------------------------------------------- the loop


def seeded(name: str) -> torch.Generator:
    """Seed torch for weights and return a generator for everything else."""
    torch.manual_seed(derive_seed("evaluator-weights", name))
    return torch.Generator().manual_seed(derive_seed("evaluator-noise", name) % (1 << 62))


def fit(
    net: Net,
    data: Iterator[Drawn],
    steps: int,
    step: Callable[[Drawn], torch.Tensor],
    *,
    rate: float,
) -> Net:
    """AdamW with warm-up and cosine; returns the exponential average of the weights."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.02)
    warm = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda i: min((i + 1) / warm, 0.5 * (1 + math.cos(math.pi * i / steps))),
    )
    average = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True
    )
    began = time.monotonic()
    net.train()
    for i, drawn in enumerate(data):
        loss = step(drawn)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(net)
        if i % 100 == 0 or i == steps - 1:
            log.info("step %d loss %.3f at %.0f s", i, loss.item(), time.monotonic() - began)
    net.load_state_dict(average.module.state_dict())
    return net.eval()


def write(net: nn.Module, name: str, kind: str) -> None:
    """Write weights as float16 safetensors and renew index.json."""
    SHIPPED.mkdir(parents=True, exist_ok=True)
    state = {
        k: (v.half() if v.is_floating_point() else v).contiguous()
        for k, v in net.state_dict().items()
        if not k.endswith(("num_batches_tracked", "attn_mask"))
    }
    path = SHIPPED / f"{name}.safetensors"
    save_file(state, path)
    index = SHIPPED / "index.json"
    rows = json.loads(index.read_text())["weights"] if index.is_file() else []
    row = {
        "name": name,
        "file": path.name,
        "sha256": digest_file(path),
        "bytes": path.stat().st_size,
        "kind": kind,
    }
    rows = sorted([r for r in rows if r["name"] != name] + [row], key=lambda r: str(r["name"]))
    index.write_text(json.dumps({"weights": rows}, indent=2) + "\n")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(["net", "clip"]))
@click.option("--net-steps", default=1600, show_default=True)
@click.option("--clip-steps", default=1400, show_default=True)
@click.option("--size", default=128, show_default=True, help="images a step")
@click.option("--threads", default=2, show_default=True)
def main(names: tuple[str, ...], net_steps: int, clip_steps: int, size: int, threads: int) -> None:
    """Train and write the named evaluators (default: both)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(threads)
    if "net" in names or not names:
        write(train_net(net_steps, size), "shapes-net", "features")
    if "clip" in names or not names:
        write(train_clip(clip_steps, size), "shapes-clip", "clip")


if __name__ == "__main__":
    main()
