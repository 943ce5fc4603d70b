"""Times sampling through `load(...).sample` against the loop of each model's source, in turns.

    python tests/bench/bench_sampling.py [--reps 8] [--steps 20] [--only pipelines]

pipelines: `LDMPipeline` and `DiTPipeline` (guided) of diffusers, from noise to images.
ddim: CompVis' DDIM with classifier-free guidance, null and condition as two halves of one batch.
flows: SiT's ODE by Euler's and by Heun's method; both sides evaluate the network equally often.

Both sides have the same network, noise and thread, and make the same numbers, which is checked.
Each case has a network of some milliseconds a step, and a larger one. Printed are the least times
of a step, and ratios (source / ldmbench; above 1 ldmbench is faster): of these least times, and the
median of those of neighbours, in wall time and in CPU time.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    UNet2DModel,
    VQModel,
)
from diffusers.pipelines.deprecated import LDMPipeline

from ldmbench.models import load
from ldmbench.models.originals.network import ModulatedTransformer2DModel

MODELS = Path(__file__).parents[1] / "models"
sys.path.insert(0, str(MODELS))

import compvis_zoo as zoo  # noqa: E402

BATCH = 2
GUIDANCE = 3.0
LABELS = [1, 3]
STAGE = {
    "block_out_channels": (32, 32),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "latent_channels": 4,
}
LATENT = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
          "clip_sample": False}  # fmt: skip
SIDES = {"small": 8, "large": 16}
"""Of the latents, by size of network."""


def noise_of(side, channels=4):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(BATCH, channels, side, side, generator=generator)


def uncond_pipeline(folder, size, steps):
    """Return the two sides of LDMPipeline: () -> images."""
    side, width = SIDES[size], {"small": 32, "large": 96}[size]
    network = UNet2DModel(
        sample_size=side,
        in_channels=4,
        out_channels=4,
        block_out_channels=(width, 2 * width),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    stage = VQModel(**STAGE, num_vq_embeddings=16)
    pipeline = LDMPipeline(stage, network, DDIMScheduler(**LATENT))
    return pipeline_sides(pipeline, folder, side, {"num_inference_steps": steps}, {"steps": steps})


def guided_pipeline(folder, size, steps):
    """Return the two sides of DiTPipeline, guided."""
    side, heads = SIDES[size], {"small": 4, "large": 16}[size]
    network = DiTTransformer2DModel(
        num_attention_heads=heads,
        attention_head_dim=16,
        in_channels=4,
        out_channels=8,
        num_layers={"small": 2, "large": 6}[size],
        sample_size=side,
        patch_size=2,
        num_embeds_ada_norm=1000,
    )
    pipeline = DiTPipeline(network, AutoencoderKL(**STAGE), DDIMScheduler(**LATENT))
    told = {"class_labels": LABELS, "guidance_scale": GUIDANCE, "num_inference_steps": steps}
    ours = {"cond": LABELS, "guidance": GUIDANCE, "steps": steps}
    return pipeline_sides(pipeline, folder, side, told, ours)


def pipeline_sides(pipeline, folder, side, told, ours):
    pipeline.save_pretrained(folder)
    model, noise = load(folder), noise_of(side)
    theirs = type(pipeline).from_pretrained(folder)
    theirs.set_progress_bar_config(disable=True)
    told |= {"output_type": "np"} | ({} if "class_labels" in told else {"batch_size": BATCH})

    def source():
        images = theirs(**told, generator=torch.Generator().manual_seed(3)).images
        return (images * 255).round().astype(np.uint8)

    return source, lambda: model.sample(noise, **ours)


def ddim(folder, size, steps):
    """Return the two sides of a checkpoint of CompVis with classes, guided by DDIM."""
    name, side = f"classes-{size}", SIDES[size]
    wide = {"model_channels": {"small": 32, "large": 96}[size], "image_size": side}
    family = zoo.FAMILIES["classes"]
    zoo.FAMILIES[name] = replace(family, unet=family.unet | wide)
    zoo.make(name, folder)
    model, noise = load(folder / "model.ckpt"), noise_of(side, channels=3)
    bars = torch.tensor(model.info.schedule.alphas_cumprod(), dtype=torch.float64)
    visited = torch.arange(0, len(bars), len(bars) // steps) + 1

    @torch.no_grad()
    def source():
        null = torch.full((BATCH,), model.info.null_class)
        given = torch.cat([null, torch.tensor(LABELS)])
        context = model.condition.inputs(given, torch.cat([noise, noise]))["context"]
        z = noise
        for place in reversed(range(len(visited))):
            at = visited[place]
            t = torch.full((2 * BATCH,), int(at))
            out = model.network(torch.cat([z, z]), t, encoder_hidden_states=context).sample
            base, conditioned = out.chunk(2)
            noised = base + GUIDANCE * (conditioned - base)
            # The source makes these anew at each step, and draws noise when sigma is 0, too.
            ahead = visited[place - 1] if place else 0
            bar, after, sigma = (torch.full((BATCH, 1, 1, 1), float(value))
                                 for value in (bars[at], bars[ahead], 0.0))  # fmt: skip
            clean = (z - (1 - bar).sqrt() * noised) / bar.sqrt()
            z = after.sqrt() * clean + (1 - after - sigma**2).sqrt() * noised
            z = z + sigma * torch.randn_like(z)
        return z

    ours = {"cond": LABELS, "guidance": GUIDANCE, "steps": steps, "decode": False}
    return source, lambda: model.sample(noise, **ours)


def write_sit(file, *, width, depth, heads, side):
    """Write random weights of SiT as its repository does, and what its command line said."""
    shape = {"width": width, "depth": depth, "num_heads": heads, "hidden": 4 * width}
    network = ModulatedTransformer2DModel(sample_size=side, **shape)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), file)
    params = {"input_size": side, "hidden_size": width, "depth": depth, "num_heads": heads}
    config = {
        "model": {"target": "models.SiT", "params": params},
        "transport": {"path_type": "Linear", "prediction": "velocity"},
    }
    (file.parent / "config.yaml").write_text(json.dumps(config))
    return file


def flow(folder, size, steps, *, method):
    """Return the two sides of SiT's ODE, guided on three channels as SiT does it."""
    shape = {"small": {"width": 64, "depth": 4, "heads": 4},
             "large": {"width": 256, "depth": 6, "heads": 8}}[size]  # fmt: skip
    side = SIDES[size]
    model, noise = load(write_sit(folder / "SiT.pt", **shape, side=side)), noise_of(side)
    labels = torch.tensor(LABELS + [1000] * BATCH)
    times = torch.linspace(0, 1, steps)

    def slope(z, t):
        half = z[:BATCH]
        out = model.network(torch.cat([half, half]), t.expand(len(z)), labels).sample
        out = out.chunk(2, dim=1)[0]
        base, moved = out[BATCH:, :3], out[:BATCH, :3]
        mixed = base + GUIDANCE * (moved - base)
        return torch.cat([torch.cat([mixed, mixed]), out[:, 3:]], dim=1)

    @torch.no_grad()
    def source():
        z = torch.cat([noise, noise])
        for t, after in pairwise(times):
            found = slope(z, t)
            if method == "heun":
                found = (found + slope(z + (after - t) * found, after)) / 2
            z = z + (after - t) * found
        return z[:BATCH]

    ours = {"cond": LABELS, "guidance": GUIDANCE, "steps": steps, "sampler": method}
    return source, lambda: model.sample(noise, **ours, decode=False)


def timed(side):
    """Return (wall seconds, CPU seconds, what the side made)."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = side()
    return time.perf_counter() - wall, time.process_time() - cpu, made


def agree(ours, theirs, what):
    if isinstance(ours, np.ndarray):  # of images one level apart, as rounding may
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1, what
        return
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-4, what


def compare(what, sides, *, reps, steps):
    """Run the sides in the order ABBA and print the ratio."""
    sides = dict(zip(("source", "ldmbench"), sides))
    agree(*(timed(sides[name])[2] for name in ("ldmbench", "source")), what)
    spent = {name: [] for name in sides}
    for rep in range(reps):
        for name in sorted(sides, reverse=bool(rep % 2)):
            spent[name].append(timed(sides[name])[:2])
    print(f"{what:>26}:", end="")
    for kind, place in (("wall", 0), ("CPU", 1)):
        theirs, ours = ([turn[place] for turn in spent[name]] for name in sides)
        ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
        least = [1e3 * min(times) / steps for times in (theirs, ours)]
        print(f" {kind} {least[0]:.2f} and {least[1]:.2f} ms a step, ratio"
              f" {least[0] / least[1]:.3f}, of neighbours {ratio:.3f};", end="")  # fmt: skip
    print(flush=True)


CASES = {
    "LDMPipeline": ("pipelines", uncond_pipeline),
    "DiTPipeline, guided": ("pipelines", guided_pipeline),
    "DDIM, guided": ("ddim", ddim),
    "SiT Euler": ("flows", lambda *told: flow(*told, method="euler")),
    "SiT Heun": ("flows", lambda *told: flow(*told, method="heun")),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--reps", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--only", choices=("pipelines", "ddim", "flows"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    diffusers.utils.logging.disable_progress_bar()
    print(f"torch {torch.__version__}, 1 thread, batch {BATCH}, {options.steps} steps")
    with tempfile.TemporaryDirectory() as scratch:
        for what, (kind, make) in CASES.items():
            for size in SIDES:
                if options.only in (None, kind):
                    sides = make(Path(scratch) / what / size, size, options.steps)
                    compare(f"{what}, {size}", sides, reps=options.reps, steps=options.steps)


if __name__ == "__main__":
    main()
