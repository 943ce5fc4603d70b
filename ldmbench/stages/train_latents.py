"""Latents of images as a first stage makes them, and those of training images, encoded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ldmbench.models.model import Model
from ldmbench.sample.noise import initial_noise
from ldmbench.schema.task import Task
from ldmbench.stages.coder import Coder, first_stage_of
from ldmbench.stages.common import chunks, images_of, resident, to_tensor

POSTERIOR_SEED, TRAIN_SEED = (1 << 32) + 2, (1 << 32) + 3
"""Far from any sample seed a person types; one for each side."""


def encoded(
    coder: Coder, x: torch.Tensor, seeds: list[int], posterior: str, seed: int = POSTERIOR_SEED
) -> torch.Tensor:
    """Return latents without their scale; of a KL drawn, unless its mode is asked for."""
    noise = None
    if posterior == "sample" and isinstance(coder, Model):
        noise = initial_noise(seeds, seed=seed, shape=coder.shape_of(x.shape[2])).to(x.device)
    return coder.encode(x, noise=noise) / coder.scale


def train_latents(task: Task, posterior: str, micro_batch: int) -> torch.Tensor:
    """Return the latents of the training images, (N, D); all shards of a worker share them."""
    first = task.inputs["autoencoder"].folders[0]
    return _held(first, posterior, micro_batch, _Once(task))


class _Once:
    """Encodes training images; equal whatever task asks, so that it is no part of what is held."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Once) and self.images == other.images

    def __hash__(self) -> int:
        return hash(self.images)

    @property
    def images(self) -> tuple[tuple[Path, ...], int]:
        """Where the training images lie, and how many there are."""
        found = self.task.inputs["train"]
        return tuple(found.folders), found.stop

    def latents(self, posterior: str, micro_batch: int) -> torch.Tensor:
        """Encode all of them."""
        coder, images = first_stage_of(self.task), images_of(self.task, "train")
        parts = []
        for rows in chunks(len(images), micro_batch):
            x = to_tensor(images.images(rows), self.task.device)
            z = encoded(coder, x, rows.tolist(), posterior, TRAIN_SEED)
            parts.append(z[: len(np.unique(rows))].flatten(1))
        return torch.cat(parts)


@resident(1)
def _held(first: Path, posterior: str, micro_batch: int, once: _Once) -> torch.Tensor:
    return once.latents(posterior, micro_batch)
