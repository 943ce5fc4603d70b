"""coding: errors on unseen images: bits and RMSE of progressive coding, or the training loss."""

from __future__ import annotations

import json
import math

import numpy as np
import torch

from ldmbench.metrics.rate import cumulative_rate
from ldmbench.models.suite_model import SuiteModel
from ldmbench.sample.noise import initial_noise
from ldmbench.schema.params import Coding, CodingParams, ValidationParams
from ldmbench.schema.task import Task
from ldmbench.stages import validation
from ldmbench.stages.common import Report, images_of, report_progress, to_tensor
from ldmbench.stages.subject import model_of
from ldmbench.stages.truth import Truths

POINTS, BATCH, NOISE_SEED = 21, 32, 1 << 33


@torch.no_grad()
def run(task: Task[Coding], report: Report) -> None:
    """Measure what the parameters ask for."""
    match task.params:
        case ValidationParams() as params:
            validation.measure(task, params, report)
        case CodingParams() as params:
            code(task, params, report)


def code(task: Task, params: CodingParams, report: Report) -> None:
    """Measure at `POINTS` timesteps: the error in eps, and the image that x_0 is guessed to be.

    A latent model's bits are those of its latents, spread over the dimensions of the image; its
    RMSE (levels of 255) is of decoded images, and so holds what the first stage loses. Coding
    begins at the last timestep that holds signal: T - 2 with rescale_betas_zero_snr.
    """
    model = model_of(task, params.progress)
    images = images_of(task)
    rows = np.arange(len(images))
    x = to_tensor(images.images(rows), task.device)
    truths = Truths(task.inputs["images"]) if model.needs_truth else None
    conditions = [
        model.condition(
            captions=images.captions(part),
            labels=images.labels(part),
            truth=truths.at(part) if truths else None,
        )
        for part in np.split(rows, range(BATCH, len(rows), BATCH))
    ]
    z0 = torch.cat([model.encode(part) for part in torch.split(x, BATCH)])
    abar = model.schedule.alphas_cumprod()
    abar = abar[abar > 0]  # a timestep without signal tells the coder nothing
    steps = np.linspace(0, len(abar) - 1, POINTS).round().astype(np.int64)
    errors, rmse = [], []
    for number, t in enumerate(steps):
        noise = initial_noise(rows.tolist(), seed=NOISE_SEED + int(t), shape=model.shape)
        guess = _guess(model, z0, noise.to(task.device), int(t), conditions)
        errors.append(guess[0])
        rmse.append(float((guess[1].clamp(-1, 1) - x).square().mean().sqrt()) * 127.5)
        report_progress(report, number + 1, POINTS, "timesteps")
    prior = _prior(z0, float(abar[-1]))
    nats = cumulative_rate(steps.astype(np.float64), np.array(errors), abar, prior=prior)
    bits = nats / math.log(2) / x[0].numel()
    points = [
        {"t": int(t), "bits_per_dim": float(b), "rmse": r}
        for t, b, r in zip(steps, bits, rmse, strict=True)
    ]
    (task.output / "coding.json").write_text(json.dumps(points, indent=1), encoding="utf-8")


def _guess(
    model: SuiteModel,
    z0: torch.Tensor,
    noise: torch.Tensor,
    t: int,
    conditions: list[object],
) -> tuple[float, torch.Tensor]:
    """Return the mean squared error of eps, summed over dimensions, and the guessed images."""
    when = torch.full((len(z0),), t, dtype=torch.int64, device=z0.device)
    abar = torch.from_numpy(model.schedule.alphas_cumprod())[t]
    signal, sigma = float(abar.sqrt().float()), float((1 - abar).sqrt().float())
    zt = signal * z0 + sigma * noise
    parts = zip(torch.split(zt, BATCH), torch.split(when, BATCH), conditions, strict=True)
    eps = torch.cat([model.eps(z, at, condition) for z, at, condition in parts])
    guess = (zt - sigma * eps) / signal
    decoded = torch.cat([model.decode(part) for part in torch.split(guess, BATCH)])
    return float((eps - noise).square().flatten(1).sum(1).mean()), decoded


def _prior(z0: torch.Tensor, abar: float) -> float:
    """Return KL(q(z_T | z_0) || N(0, 1)) in nats, the mean over images."""
    mean2 = abar * z0.square().flatten(1).sum(1).mean()
    variance, count = 1 - abar, z0[0].numel()
    return float(0.5 * (mean2 + count * (variance - 1 - math.log(variance))))
