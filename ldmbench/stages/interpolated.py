"""reconstructions of latents moved towards a near training latent (arXiv:2603.05630)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from ldmbench.data.shards import write_array
from ldmbench.models.interpolated import towards_neighbours
from ldmbench.models.model import Model, to_uint8
from ldmbench.sample.noise import initial_noise
from ldmbench.schema.params import InterpolatedParams
from ldmbench.schema.task import Task
from ldmbench.stages.coder import Coder, first_stage_of
from ldmbench.stages.common import Report, chunks, images_of, resident, to_tensor

POSTERIOR_SEED, TRAIN_SEED = (1 << 32) + 2, (1 << 32) + 3
"""Far from any sample seed a person types; one for each side."""


def interpolate(task: Task, params: InterpolatedParams, report: Report) -> None:
    """Encode one shard, move each latent towards a training latent, and decode."""
    coder, images = first_stage_of(task), images_of(task)
    train, made = _train_latents(task, params), []
    for rows in chunks(len(images), params.micro_batch):
        x = to_tensor(images.images(rows), task.device)
        seeds = (rows + task.inputs["images"].start).tolist()
        z = _encoded(coder, x, seeds, params, POSTERIOR_SEED)
        moved = towards_neighbours(
            train, z, seeds, k=params.neighbours, alpha=params.alpha, seed=params.seed
        )
        made.append(to_uint8(coder.decode(moved * coder.scale), params.quantize))
    everything = np.arange(len(images))
    write_array(task.output / "images.npy", np.concatenate(made)[: len(images)])
    write_array(task.output / "labels.npy", images.labels(everything))
    (task.output / "captions.json").write_text(json.dumps(images.captions(everything)), "utf-8")
    report(1.0, "")


def _encoded(
    coder: Coder, x: torch.Tensor, seeds: list[int], params: InterpolatedParams, seed: int
) -> torch.Tensor:
    """Return latents without their scale; of a KL drawn, unless its mode is asked for."""
    noise = None
    if params.posterior == "sample" and isinstance(coder, Model):
        noise = initial_noise(seeds, seed=seed, shape=coder.shape_of(x.shape[2])).to(x.device)
    return coder.encode(x, noise=noise) / coder.scale


def _train_latents(task: Task, params: InterpolatedParams) -> torch.Tensor:
    """Return the latents of the training images, (N, D); all shards of a worker share them."""
    first = task.inputs["autoencoder"].folders[0]
    return _held(first, params.model_dump_json(), _Once(task, params))


class _Once:
    """Encodes training images; equal whatever task asks, so that it is no part of what is held."""

    def __init__(self, task: Task, params: InterpolatedParams) -> None:
        self.task, self.params = task, params

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Once) and self.folders == other.folders

    def __hash__(self) -> int:
        return hash(self.folders)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where the training images lie."""
        return tuple(self.task.inputs["train"].folders)

    def latents(self) -> torch.Tensor:
        """Encode all of them."""
        coder, images = first_stage_of(self.task), images_of(self.task, "train")
        parts = []
        for rows in chunks(len(images), self.params.micro_batch):
            x = to_tensor(images.images(rows), self.task.device)
            z = _encoded(coder, x, rows.tolist(), self.params, TRAIN_SEED)
            parts.append(z[: len(np.unique(rows))].flatten(1))
        return torch.cat(parts)


@resident(1)
def _held(first: Path, written: str, once: _Once) -> torch.Tensor:
    return once.latents()
