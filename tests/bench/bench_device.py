"""Times what is done ahead for a device against the same work in place; both in turns, in one run.

    python tests/bench/bench_device.py [--device cuda:0] [--reps 7] [--steps 20] [--only sampling]

sampling: ddpm whose noise is drawn and copied at each step, against noise drawn ahead by a thread.
training: a denoiser's steps that read their own batch, against batches read ahead by a thread.
extraction: features of shards of 64 images one at a time, against eight shards a task.

On a CPU the product does neither of the first two; the script does, to show what that would gain.
Printed are the medians of both sides and the median of the ratios of neighbours (plain / ahead;
above 1 is faster). Both sides make the same numbers, which is checked.
"""

import argparse
import statistics
import time
from itertools import count
from unittest import mock

import numpy as np
import torch

from ldmbench.ahead import ahead
from ldmbench.data.batches import BatchOrder
from ldmbench.data.shapes import render
from ldmbench.features.extractor import load_extractor
from ldmbench.models.denoiser import build_denoiser
from ldmbench.plan.ledger import SHARD
from ldmbench.sample import Schedule, noise, sample, step_seeds
from ldmbench.schema.models import DenoiserParams
from ldmbench.train.denoiser import DenoiserJob

NETWORK = {"channels": 32, "context_channels": 32, "batch": 16, "multipliers": [1, 1]}
CHANNELS, SIZE, IMAGES = 4, 16, 512


def model_on(device, conditioning):
    params = DenoiserParams.model_validate(NETWORK | {"conditioning": conditioning})
    made = build_denoiser(params, latent_channels=CHANNELS, latent_size=SIZE, seed=0)
    return params, made.to(device)


def sampling(device, steps):
    """Return the two sides; each makes the latents of 16 samples by ddpm."""
    _, model = model_on(device, "none")
    model.eval().requires_grad_(requires_grad=False)
    seeds, shape = step_seeds(range(16), seed=0), (CHANNELS, SIZE, SIZE)
    start = noise.initial_noise(range(16), seed=0, shape=shape).to(device)
    draws = {"plain": drawn_in_place, "ahead": drawn_ahead}

    def side(name):
        with mock.patch("ldmbench.sample.solvers.noise_of_steps", draws[name]):
            run = {"schedule": Schedule(), "steps": steps, "sampler": "ddpm", "seeds": seeds}
            return sample(model, start, **run).cpu()

    return side


def drawn_in_place(generators, shape, *, draws, device):
    return (noise.draw_step(generators, shape).to(device) for _ in range(draws))


def drawn_ahead(generators, shape, *, draws, device):
    if device.type == "cuda":
        return noise.noise_of_steps(generators, shape, draws=draws, device=device)
    return ahead((noise.draw_step(generators, shape) for _ in range(draws)), depth=4)


def training(device, steps):
    """Return the two sides; each trains on latents with captions for so many steps."""
    shown = render(np.arange(IMAGES), resolution=16)
    rng = np.random.default_rng(0)
    latents = Held(rng.standard_normal((IMAGES, CHANNELS, SIZE, SIZE), np.float32), shown.captions)

    def side(name):
        params, model = model_on(device, "caption")
        order = BatchOrder(IMAGES, batch_size=params.batch, seed=0)
        more = {"images": latents, "latents": latents, "order": order, "device": device}
        job = DenoiserJob(params, model, **more)
        if name == "plain":
            job.batches = Plain(job._read, device)
        elif device.type != "cuda":
            job.batches = Ahead(job._read, device)
        for n in range(steps):
            loss = job.step(n, 0.0)
        return loss.cpu()

    return side


class Held:
    """Latents and captions in memory."""

    def __init__(self, rows, captions):
        self.rows, self.texts = rows, captions

    def __len__(self):
        return len(self.rows)

    def read(self, indices):
        return self.rows[indices]

    def captions(self, indices):
        return [self.texts[i] for i in indices]


class Plain:
    """Reads and copies a batch where it is used."""

    def __init__(self, read, device):
        self.read, self.device = read, device

    def at(self, n):
        return tuple(part.to(self.device) for part in self.read(n))


class Ahead:
    """Reads the next two batches in a thread; on a CPU nothing is copied."""

    def __init__(self, read, device):
        self.items = ahead(map(read, count()), depth=2)

    def at(self, n):
        return next(self.items)


def extraction(device, steps):
    """Return the two sides; each extracts shapes-net's features of eight shards."""
    extractor = load_extractor("shapes-net", device=str(device))
    images = render(np.arange(8 * SHARD), resolution=32).images

    def side(name):
        shards = [images[i : i + SHARD] for i in range(0, len(images), SHARD)]
        parts = [images] if name == "ahead" else shards
        return torch.from_numpy(np.concatenate([extractor.extract(p)["features"] for p in parts]))

    return side


def timed(side, name, device):
    began = time.perf_counter()
    made = side(name)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began, made


def compare(what, side, device, reps):
    timed(side, "plain", device), timed(side, "ahead", device)
    seconds = {"plain": [], "ahead": []}
    for rep in range(reps):
        names = ("plain", "ahead") if rep % 2 else ("ahead", "plain")
        made = {}
        for name in names:
            spent, made[name] = timed(side, name, device)
            seconds[name].append(spent)
        assert torch.allclose(made["plain"], made["ahead"], rtol=1e-4, atol=1e-5), what
    ratios = [a / b for a, b in zip(seconds["plain"], seconds["ahead"], strict=True)]
    plain, other = (statistics.median(seconds[name]) for name in ("plain", "ahead"))
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    ratio = statistics.median(ratios)
    print(f"{what:>10}: plain {plain:.3f} s, ahead {other:.3f} s, ratio {ratio:.3f} ({spread})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--reps", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--only", choices=("sampling", "training", "extraction"))
    options = parser.parse_args()
    device = torch.device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for make in (sampling, training, extraction):
        if options.only in (None, make.__name__):
            compare(make.__name__, make(device, options.steps), device, options.reps)


if __name__ == "__main__":
    main()
