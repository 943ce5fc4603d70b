"""reconstructions of latents moved towards a near training latent (arXiv:2603.05630)."""

from __future__ import annotations

import json

import numpy as np

from ldmbench.data.shards import write_array
from ldmbench.models.interpolated import towards_neighbours
from ldmbench.models.model import to_uint8
from ldmbench.schema.params import InterpolatedParams
from ldmbench.schema.task import Task
from ldmbench.stages.coder import first_stage_of
from ldmbench.stages.common import Report, chunks, images_of, to_tensor
from ldmbench.stages.train_latents import encoded, train_latents


def interpolate(task: Task, params: InterpolatedParams, report: Report) -> None:
    """Encode one shard, move each latent towards a training latent, and decode."""
    coder, images = first_stage_of(task), images_of(task)
    train, made = train_latents(task, params.posterior, params.micro_batch), []
    for rows in chunks(len(images), params.micro_batch):
        x = to_tensor(images.images(rows), task.device)
        seeds = (rows + task.inputs["images"].start).tolist()
        z = encoded(coder, x, seeds, params.posterior)
        moved = towards_neighbours(
            train, z, seeds, k=params.neighbours, alpha=params.alpha, seed=params.seed
        )
        made.append(to_uint8(coder.decode(moved * coder.scale), params.quantize))
    everything = np.arange(len(images))
    write_array(task.output / "images.npy", np.concatenate(made)[: len(images)])
    write_array(task.output / "labels.npy", images.labels(everything))
    (task.output / "captions.json").write_text(json.dumps(images.captions(everything)), "utf-8")
    report(1.0, "")
