"""autoencoder: training images -> a first stage with its scale; f = 1 is the identity."""

from __future__ import annotations

import json

import torch

from ldmbench.models.autoencoder import build_first_stage
from ldmbench.schema.models import AutoencoderParams
from ldmbench.schema.task import Task
from ldmbench.stages.common import Report, images_of
from ldmbench.train.autoencoder import train_autoencoder
from ldmbench.train.loop import device_name


def run(task: Task, report: Report) -> None:
    """Train a first stage, or write the identity, which costs nothing."""
    fields = {name: task.params[name] for name in task.params if name != "resolution"}
    params = AutoencoderParams.model_validate(fields)
    if params.f == 1:
        build_first_stage(params, seed=0).save(task.output)
        cost = {"seconds": 0.0, "steps": 0, "images": 0, "flops": 0.0, "parameters": 0}
        (task.output / "cost.json").write_text(
            json.dumps({**cost, "device": device_name(torch.device(task.device))})
        )
        return
    train_autoencoder(
        params,
        images_of(task),
        resolution=task.params["resolution"],
        device=task.device,
        scratch=task.scratch,
        output=task.output,
        report=report,
    )
