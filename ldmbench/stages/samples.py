"""samples: a model, conditions and seeds -> uint8 images, one shard of a fixed range of seeds."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from ldmbench.data.shards import write_array
from ldmbench.models.denoiser import Denoiser
from ldmbench.sample.guidance import guided
from ldmbench.sample.noise import initial_noise, step_seeds
from ldmbench.sample.solvers import sample
from ldmbench.schema.task import Task
from ldmbench.stages.common import Report, chunks, models_of, rows_of, to_pixels, told


@torch.no_grad()
def run(task: Task, report: Report) -> None:
    """Draw one shard; sample i depends on (seed, i) and its condition alone."""
    params = task.params
    autoencoder, denoiser = models_of(task, params["progress"])
    assert task.shard is not None
    start, stop = task.shard
    conditions = Conditions(task, denoiser)
    pixels = []
    for rows in chunks(stop - start, params["micro_batch"]):
        with precision(params["precision"], task.device):
            latents = draw(
                denoiser,
                (rows + start).tolist(),
                params,
                condition=conditions.of(rows),
                device=task.device,
            )
            images = autoencoder.decode(latents)
        pixels.append(to_pixels(images, params["quantize"]))
        told(report, min(int(rows[-1]) + 1, stop - start), stop - start, "samples")
    write_array(task.output / "images.npy", np.concatenate(pixels)[: stop - start])
    write_array(task.output / "labels.npy", conditions.labels())
    (task.output / "captions.json").write_text(json.dumps(conditions.captions()), "utf-8")


def draw(
    denoiser: Denoiser,
    indices: list[int],
    params: dict[str, Any],
    *,
    condition: torch.Tensor | None,
    device: str,
) -> torch.Tensor:
    """Return the latents of some samples, NCHW on the device."""
    nothing = denoiser.null_condition(len(indices))
    return sample(
        guided(
            lambda z, t: denoiser.predict(z, t, condition),
            lambda z, t: denoiser.predict(z, t, nothing),
            guidance=params["guidance"],
        ),
        initial_noise(indices, seed=params["seed"], shape=denoiser.shape).to(device),
        schedule=denoiser.schedule,
        sampler=params["sampler"],
        steps=params["steps"],
        eta=params["eta"],
        timesteps=params["timesteps"],
        seeds=step_seeds(indices, seed=params["seed"]),
    )


class Conditions:
    """The prompts of one shard of samples; none for an unconditional model."""

    def __init__(self, task: Task, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.count = task.shard[1] - task.shard[0] if task.shard else 0
        found = task.inputs.get("conditions")
        self._labels = rows_of(found, "labels.npy").all() if found else np.zeros(self.count, "<i8")
        self._captions: list[str] = []
        for folder in found.folders if found else ():
            self._captions += json.loads((folder / "captions.json").read_text("utf-8"))
        if found:
            first = found.start - found.first
            self._captions = self._captions[first : first + len(self._labels)]

    def of(self, rows: np.ndarray) -> torch.Tensor | None:
        """Return what the denoiser attends to for some rows; None when it attends to nothing."""
        if not len(self._labels):
            return None
        texts = [self._captions[i] for i in rows] if self._captions else None
        return self.denoiser.condition(captions=texts, labels=self._labels[rows])

    def labels(self) -> np.ndarray:
        """Return the class of each sample of the shard."""
        return self._labels

    def captions(self) -> list[str]:
        """Return the caption of each sample of the shard, '' where there is none."""
        return self._captions or [""] * self.count


def precision(name: str, device: str) -> torch.autocast:
    """Return the context that computes in the precision a suite names."""
    kind = device.split(":", maxsplit=1)[0]
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=name == "bfloat16")
