"""Times training against a plain diffusers loop, and against one that encodes at every step.

    python tests/bench/bench_train.py [--device cuda:0] [--rounds 7] [--steps 3] [--batch 32]

plain: diffusers' script for unconditional training, without its accelerator: latents in memory
behind a DataLoader, torch.randn_like, DDPMScheduler.add_noise, AdamW as torch makes it, gradient
clipping, diffusers' EMAModel, the loss read at every step. plain compiled: the same, its network
compiled as ours is. encoding: the same, but its latents are
encoded from images at every step by a KL first stage of f = 4 and the paper's widths (128, 256,
512). ours: what `ldmbench run` trains with, in float32, compiled, and in bfloat16. All have one
network, the same latents, batch and optimiser, and take turns in one run; printed are medians of
seconds a step, and of the ratios plain / ours of one turn (above 1: ours is faster); where both are
timed, the ratio of "compiled" to plain compiled is printed, too.
"""

import argparse
import statistics
import time
from types import SimpleNamespace

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler
from diffusers.training_utils import EMAModel

from ldmbench.data.batches import BatchOrder
from ldmbench.data.shapes import render
from ldmbench.models.denoiser import build_denoiser
from ldmbench.schema.models import DenoiserParams
from ldmbench.tensors.device import device_name
from ldmbench.tensors.numerics import numerics
from ldmbench.train.denoiser import DenoiserJob
from ldmbench.train.telemetry import matrix_flops_per_second

COUNT, SIDE, F, CHANNELS = 512, 64, 4, 3
COMPILED = "plain compiled"
OURS = {
    "float32": {},
    "compiled": {"compile": True},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16 compiled": {"precision": "bfloat16", "compile": True},
}


def network_of(options, **fields):
    params = DenoiserParams(
        channels=options.channels, conditioning="none", batch=options.batch, clip=1.0, **fields
    )
    size = {"latent_channels": CHANNELS, "latent_size": SIDE // F}
    return params, build_denoiser(params, **size, seed=0)


def plain(options, encode=None, *, compiles=False):
    """Return what does some steps of a loop as diffusers' training script has it."""
    _, model = network_of(options)
    unet = model.unet.to(options.device).train()
    network = torch.compile(unet) if compiles else unet
    optimizer = torch.optim.AdamW(unet.parameters(), lr=2e-4)
    warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 100))
    average = EMAModel(unet.parameters(), decay=0.9999)
    scheduler = DDPMScheduler(beta_schedule="scaled_linear")
    shown = images() if encode else latents()
    loader = torch.utils.data.DataLoader(shown, batch_size=options.batch, shuffle=True)
    batches = (batch for _ in iter(int, 1) for batch in loader)

    def steps(count):
        losses = []
        for _ in range(count):
            z = next(batches).to(options.device)
            z = encode(z) if encode else z
            noise = torch.randn_like(z)
            times = torch.randint(0, 1000, (len(z),), device=z.device)
            predicted = network(scheduler.add_noise(z, noise, times), times).sample
            loss = torch.nn.functional.mse_loss(predicted, noise)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
            optimizer.step()
            warm.step()
            optimizer.zero_grad()
            average.step(unet.parameters())
            losses.append(loss.detach().item())
        return losses

    return steps


def encoder(options):
    """Return what encodes images, NCHW in [-1, 1], with a first stage of the paper's widths."""
    widths = (128, 256, 512)
    down, up = (f"{way}EncoderBlock2D" for way in ("Down", "Up"))
    stage = AutoencoderKL(
        block_out_channels=widths,
        down_block_types=(down,) * 3,
        up_block_types=(up.replace("Encoder", "Decoder"),) * 3,
        layers_per_block=2,
        latent_channels=CHANNELS,
    )
    stage = stage.to(options.device).eval().requires_grad_(requires_grad=False)

    @torch.no_grad()
    def encode(x):
        return stage.encode(x).latent_dist.sample() * stage.config.scaling_factor

    return encode


def ours(options, **fields):
    """Return what does some steps as `ldmbench run` does them, and its clock."""
    params, model = network_of(options, **fields)
    z = latents().numpy()
    order = BatchOrder(COUNT, batch_size=options.batch, seed=0)
    stored = SimpleNamespace(read=lambda indices: z[indices])
    device = torch.device(options.device)
    job = DenoiserJob(params, model, images=None, latents=stored, order=order, device=device)
    done = iter(range(10**9))
    total = torch.zeros((), device=device)

    def steps(count):
        for n in (next(done) for _ in range(count)):
            with job.clock.step(n):
                total.add_(job.step(n, 0.5))

    return steps, job


def latents():
    shape = (COUNT, CHANNELS, SIDE // F, SIDE // F)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def images():
    pixels = render(np.arange(COUNT), resolution=SIDE).images
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def timed(steps, count, device):
    began = time.perf_counter()
    steps(count)
    if device != "cpu":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    known = [*OURS, COMPILED, "encoding"]
    parser.add_argument("--only", nargs="*", choices=known, default=known)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    numerics()
    sides = {"plain": plain(options)}
    jobs = {}
    for name in (name for name in OURS if name in options.only):
        sides[name], jobs[name] = ours(options, **OURS[name])
    if COMPILED in options.only:
        sides[COMPILED] = plain(options, compiles=True)
    if "encoding" in options.only:
        sides["encoding"] = plain(options, encoder(options))
    some = next(iter(jobs.values()))
    print(
        f"{device_name(torch.device(options.device))}, torch {torch.__version__}; UNet of"
        f" {some.parameters / 1e6:.1f} M weights, {some.flops_per_image / 1e9:.2f} GFLOP an image"
        f" and step, latents {CHANNELS} x {SIDE // F} x {SIDE // F}, batch {options.batch}"
    )
    for name, steps in sides.items():
        print(f"first step of {name}: {timed(steps, 1, options.device):.2f} s", flush=True)
    seconds = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, steps in sides.items():
            seconds[name].append(timed(steps, options.steps, options.device))
    report(options, seconds, jobs)


def report(options, seconds, jobs):
    for name, taken in seconds.items():
        line = f"{name:<18} {statistics.median(taken):7.3f} s a step"
        if name in OURS:
            for other in ("plain", *((COMPILED,) if "compile" in OURS[name] else ()), "encoding"):
                pairs = [a / b for a, b in zip(seconds.get(other, ()), taken)]
                line += f", {other} / ours {statistics.median(pairs):.2f}" if pairs else ""
            job = jobs[name]
            shares = job.clock.shares()
            outside = shares["data"] + shares["other"]
            peak = matrix_flops_per_second(job.params.precision, torch.device(options.device))
            rate = job.flops_per_image * options.batch / statistics.median(taken)
            line += f", {outside:.1%} outside network and optimiser"
            line += f", {rate / 1e9:.0f} GFLOP/s = {rate / peak:.0%} of a matrix product"
        print(line)


if __name__ == "__main__":
    main()
