"""reconstructions: reference images through the first stage and back."""

from __future__ import annotations

import json

import numpy as np
import torch

from ldmbench.data.shards import write_array
from ldmbench.features.perceptual import load_perceptual
from ldmbench.models.model import to_uint8
from ldmbench.schema.params import ReconstructionsParams
from ldmbench.schema.task import Task
from ldmbench.stages.common import Report, chunks, images_of, to_tensor
from ldmbench.stages.subject import first_stage_of


@torch.no_grad()
def run(task: Task[ReconstructionsParams], report: Report) -> None:
    """Encode (posterior mode) and decode one shard; also the perceptual distance and the bits."""
    first_stage = first_stage_of(task)
    images, rule = images_of(task), task.params.quantize
    perceptual = load_perceptual(device=task.device)
    made, bits, codes, distances = [], [], [], []
    for rows in chunks(len(images), task.params.micro_batch):
        x = to_tensor(images.images(rows), task.device)
        decoded = first_stage.decode(first_stage.encode(x))
        made.append(to_uint8(decoded, rule))
        distances.append(perceptual(decoded.clamp(-1, 1), x).cpu().numpy())
        rate = first_stage.rate(x)
        bits.append(rate.bits_per_pixel.numpy())
        if rate.codes is not None:
            codes.append(rate.codes.numpy())
    count = len(images)
    everything = np.arange(count)
    write_array(task.output / "images.npy", np.concatenate(made)[:count])
    write_array(task.output / "labels.npy", images.labels(everything))
    write_array(task.output / "bits.npy", np.concatenate(bits)[:count])
    write_array(task.output / "perceptual.npy", np.concatenate(distances)[:count])
    if codes:
        write_array(task.output / "codes.npy", np.concatenate(codes)[:count])
    (task.output / "captions.json").write_text(json.dumps(images.captions(everything)), "utf-8")
    report(1.0, "")
