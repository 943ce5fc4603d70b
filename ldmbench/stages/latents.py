"""latents: images -> what the denoiser is trained on, encoded once."""

from __future__ import annotations

import numpy as np
import torch

from ldmbench.data.shards import write_array
from ldmbench.data.twice import MIRRORED
from ldmbench.sample.noise import initial_noise
from ldmbench.schema.params import Latents, LatentsParams, NeighboursParams
from ldmbench.schema.task import Task
from ldmbench.stages import latent_neighbours
from ldmbench.stages.common import Pixels, Report, autoencoder_at, chunks, images_of, to_tensor


@torch.no_grad()
def run(task: Task[Latents], report: Report) -> None:
    """Encode images for training, or measure how far their latents lie from training latents."""
    match task.params:
        case NeighboursParams() as params:
            latent_neighbours.measure(task, params, report)
        case LatentsParams() as params:
            encode(task, params, report)


def encode(task: Task, params: LatentsParams, report: Report) -> None:
    """Encode one shard, and its mirror images where they are asked for.

    A KL posterior is drawn with noise that depends on the image's index, or its mode is taken.
    """
    first_stage = autoencoder_at(task.inputs["autoencoder"].folders[0], task.device)
    images = images_of(task)
    seeds = {"latents.npy": POSTERIOR_SEED}
    if params.flip:
        seeds[MIRRORED] = MIRRORED_SEED
    made: dict[str, list[Pixels]] = {name: [] for name in seeds}
    for rows in chunks(len(images), params.micro_batch):
        x = to_tensor(images.images(rows), task.device)
        indices = (rows + images_start(task)).tolist()
        for name, seed in seeds.items():
            noise = None
            if params.posterior == "sample":
                noise = initial_noise(indices, seed=seed, shape=first_stage.shape_of(x.shape[2]))
                noise = noise.to(task.device)
            shown = x.flip(3) if name == MIRRORED else x
            made[name].append(first_stage.encode(shown, noise=noise).cpu().numpy())
    report(1.0, "")
    for name, parts in made.items():
        write_array(task.output / name, np.concatenate(parts)[: len(images)])


POSTERIOR_SEED, MIRRORED_SEED = 1 << 32, (1 << 32) + 1
"""Far from any sample seed a person types, so that training noise is no sample's noise."""


def images_start(task: Task) -> int:
    """Return the index of the first image of this shard."""
    return task.inputs["images"].start
