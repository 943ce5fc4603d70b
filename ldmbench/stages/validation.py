"""validation: the error of a denoiser on images that it was not trained on, at fixed noise."""

from __future__ import annotations

import json

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldmbench.data.batch import Ints
from ldmbench.models.model import Model
from ldmbench.models.precond import OBJECTIVES, levels_of
from ldmbench.models.suite_model import SuiteModel
from ldmbench.sample.noise import initial_noise
from ldmbench.sample.paths import path_at, target_of
from ldmbench.schema.params import ValidationParams
from ldmbench.schema.task import Task
from ldmbench.stages.common import Report, images_of, report_progress, to_tensor
from ldmbench.stages.subject import model_of
from ldmbench.stages.truth import Truths

BATCH, NOISE_SEED = 32, 1 << 35
NORMAL_95 = 1.959964


@torch.no_grad()
def measure(task: Task, params: ValidationParams, report: Report) -> None:
    """Measure the loss of training, without weights, at equidistant times (MLPerf's Flux.1 task).

    Times are 0, T / n, 2 T / n, ..., from data; the noise of an image at a time depends on both
    alone. The interval is that of a mean over images, of 95 %.
    """
    model = model_of(task, params.progress)
    images = images_of(task)
    count = params.times
    when = [i / count for i in range(count)]
    errors = np.zeros((len(images), count))
    for start in range(0, len(images), BATCH):
        rows = np.arange(start, min(start + BATCH, len(images)))
        errors[rows] = _errors(task, model, rows, when)
        report_progress(report, int(rows[-1]) + 1, len(images), "images")
    per_image = errors.mean(1)
    half = NORMAL_95 * float(per_image.std(ddof=1)) / len(images) ** 0.5 if len(images) > 1 else 0.0
    value = float(per_image.mean())
    made = {
        "value": value,
        "low": value - half,
        "high": value + half,
        "n": len(images),
        "times": dict(zip(map(str, when), errors.mean(0).tolist(), strict=True)),
    }
    (task.output / "validation.json").write_text(json.dumps(made, indent=1), encoding="utf-8")


def _errors(task: Task, model: SuiteModel, rows: Ints, when: list[float]) -> NDArray[np.float64]:
    """Return the mean squared error of each image at each time, float64 (N, times)."""
    images = images_of(task)
    z0 = model.encode(to_tensor(images.images(rows), task.device))
    condition = model.condition(
        captions=images.captions(rows),
        labels=images.labels(rows),
        truth=Truths(task.inputs["images"]).at(rows) if model.needs_truth else None,
    )
    inputs = model.model.condition.inputs(condition, z0)
    found = []
    for place, share in enumerate(when):
        seed = NOISE_SEED + place
        noise = initial_noise(rows.tolist(), seed=seed, shape=model.shape).to(z0.device)
        z, at, target = _asked(model.model, z0, noise, share)
        out = model.model.predict(z, at, inputs)[:, : z.shape[1]]
        error = (out - target).square().flatten(1).mean(1)
        found.append(error.double().cpu().numpy())
    return np.stack(found, axis=1)


def _asked(model: Model, z0: Tensor, noise: Tensor, share: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return noisy latents, their times, and what the network should return for them.

    Args:
        model: says its forward process and objective.
        z0: latents.
        noise: of each.
        share: of the way from data to noise, 0 to 1.
    """
    flow = model.info.flow
    if flow is not None:
        share = max(share, flow.margins[1])
        t = torch.full((len(z0),), share if flow.noise_at == 1 else 1 - share, device=z0.device)
        return path_at(flow, z0, noise, t), t, target_of(flow, z0, noise, t)
    schedule = model.info.schedule
    assert schedule is not None
    place = min(round(schedule.T * share), schedule.T - 1)  # the only one of a regression
    at = torch.full((len(z0),), place, dtype=torch.int64, device=z0.device)
    levels = signal, spread = levels_of(schedule, at, z0)
    target = OBJECTIVES[schedule.prediction].target(z0, noise, levels)
    return signal * z0 + spread * noise, at, target
