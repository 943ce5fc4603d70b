"""latents: images -> what the denoiser is trained on, encoded once."""

from __future__ import annotations

import numpy as np
import torch

from ldmbench.data.shards import write_array
from ldmbench.sample.noise import initial_noise
from ldmbench.schema.params import LatentsParams
from ldmbench.schema.task import Task
from ldmbench.stages.common import Report, autoencoder_at, chunks, images_of, to_tensor


@torch.no_grad()
def run(task: Task[LatentsParams], report: Report) -> None:
    """Encode one shard: a KL posterior is drawn with noise that depends on the image's index."""
    first_stage = autoencoder_at(task.inputs["autoencoder"].folders[0], task.device)
    images = images_of(task)
    made = []
    for rows in chunks(len(images), task.params.micro_batch):
        x = to_tensor(images.images(rows), task.device)
        shape = first_stage.shape_of(x.shape[2])
        indices = rows + images_start(task)
        noise = initial_noise(indices.tolist(), seed=POSTERIOR_SEED, shape=shape).to(task.device)
        made.append(first_stage.encode(x, noise=noise).cpu().numpy())
    report(1.0, "")
    write_array(task.output / "latents.npy", np.concatenate(made)[: len(images)])


POSTERIOR_SEED = 1 << 32
"""Far from any sample seed a person types, so that training noise is no sample's noise."""


def images_start(task: Task) -> int:
    """Return the index of the first image of this shard."""
    return task.inputs["images"].start
