"""latents: images -> distances of their latents to the nearest training latents."""

from __future__ import annotations

import numpy as np

from ldmbench.data.shards import write_array
from ldmbench.models.latent_neighbours import nearest_distances, spread
from ldmbench.schema.params import NeighboursParams
from ldmbench.schema.task import Task
from ldmbench.stages.coder import first_stage_of
from ldmbench.stages.common import Report, chunks, images_of, to_tensor
from ldmbench.stages.train_latents import encoded, train_latents


def measure(task: Task, params: NeighboursParams, report: Report) -> None:
    """Encode one shard and write distances (N, k) over that of two training latents (RMS).

    They are NaN where the training latents are all equal.
    """
    coder, images = first_stage_of(task), images_of(task)
    train, found = train_latents(task, params.posterior, params.micro_batch), []
    unit = spread(train)
    for rows in chunks(len(images), params.micro_batch):
        x = to_tensor(images.images(rows), task.device)
        seeds = (rows + task.inputs["images"].start).tolist()
        z = encoded(coder, x, seeds, params.posterior).flatten(1)
        found.append(nearest_distances(train, z, k=params.neighbours).numpy())
    distances = np.concatenate(found)[: len(images)]
    write_array(task.output / "neighbours.npy", distances / unit if unit else distances * np.nan)
    write_array(task.output / "labels.npy", images.labels(np.arange(len(images))))
    report(1.0, "")
