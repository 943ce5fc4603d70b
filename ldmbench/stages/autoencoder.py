"""autoencoder: a first stage with its scale, trained, shipped or from disk; f = 1 the identity."""

from __future__ import annotations

import json

import numpy as np
import torch

from ldmbench.canonical import canonical_json
from ldmbench.errors import InputError
from ldmbench.models.autoencoder import build_first_stage, save_first_stage
from ldmbench.models.files import read_card
from ldmbench.models.shipped import load_shipped
from ldmbench.models.taken import first_stage_of_model, measured_scale, save_taken
from ldmbench.schema.models import AutoencoderParams
from ldmbench.schema.params import (
    Autoencoder,
    CalledStage,
    IdentityStage,
    LoadedStage,
    ShippedStage,
    TakenStage,
    TrainedStage,
)
from ldmbench.schema.task import Task
from ldmbench.schema.weights import FIRST_STAGES_FOLDER, first_stages_in
from ldmbench.stages.coder import refer_to_coder
from ldmbench.stages.common import Report, images_of, to_tensor
from ldmbench.stages.subject import loaded_of, refer_to_loaded
from ldmbench.tensors.device import device_name
from ldmbench.train.autoencoder import train_autoencoder


def run(task: Task[Autoencoder], report: Report) -> None:
    """Train a first stage, take one that ships or lies on disk, or write the identity."""
    match task.params:
        case LoadedStage():
            refer_to_loaded(task)
        case CalledStage():
            refer_to_coder(task)
        case ShippedStage(weights=name):
            _shipped(task, name)
        case TakenStage() as params:
            _taken(task, params)
        case IdentityStage():
            _identity(task)
        case TrainedStage() as params:
            train_autoencoder(
                params.section,
                images_of(task),
                resolution=params.resolution,
                devices=task.devices,
                device=task.device,
                scratch=task.scratch,
                output=task.output,
                report=report,
            )


def _taken(task: Task, params: TakenStage) -> None:
    """Copy the first stage of a model from disk, with the scale of its latents."""
    model, scale = loaded_of(task), params.scale
    if "images" in task.inputs:
        images = images_of(task)
        shown = (images.images(rows) for rows in np.array_split(np.arange(len(images)), 8))
        scale = measured_scale(
            model.first_stage, [to_tensor(part, task.device) for part in shown if len(part)]
        )
    stage = first_stage_of_model(model, scale=scale)
    found, planned = (stage.info.f, stage.info.latent_shape[0]), (params.f, params.channels)
    if found != planned:
        raise InputError(
            f"{model.info.path}: its configs say f and channels {planned}, its weights say {found};"
            " they do not belong together"
        )
    save_taken(stage, task.output)


def _identity(task: Task) -> None:
    """Write the first stage of f = 1, which costs nothing."""
    params = AutoencoderParams(f=1)
    save_first_stage(build_first_stage(params, seed=0), task.output, params=params, scale=1.0)
    cost = {"seconds": 0.0, "steps": 0, "images": 0, "flops": 0.0, "parameters": 0}
    (task.output / "cost.json").write_text(
        json.dumps({**cost, "device": device_name(torch.device(task.device))}),
        encoding="utf-8",
    )


def _shipped(task: Task, name: str) -> None:
    """Take a first stage that comes with ldmbench, and what its training took."""
    model = load_shipped(name)
    card = read_card(FIRST_STAGES_FOLDER / name, "first-stage")
    params = AutoencoderParams.model_validate(card["params"])
    save_first_stage(model.first_stage, task.output, params=params, scale=model.info.scale)
    cost = json.loads((FIRST_STAGES_FOLDER / name / "cost.json").read_text(encoding="utf-8"))
    (row,) = (row for row in first_stages_in() if row.name == name)
    cost.setdefault("matrix_flops", row.matrix_flops)
    (task.output / "cost.json").write_text(canonical_json(cost) + "\n", encoding="utf-8")
