"""A first stage alone: trained here, loaded, or the user's own code."""

from __future__ import annotations

import json
from typing import TypeAlias

import torch

from ldmbench.models.called_stage import CalledStage
from ldmbench.models.model import Model
from ldmbench.schema.local import Code
from ldmbench.schema.params import CoderSpeedParams
from ldmbench.schema.task import Task
from ldmbench.speed.coder import CoderSpeed
from ldmbench.stages.common import Report, autoencoder_at, let_go, resident
from ldmbench.stages.plugin import made_of
from ldmbench.stages.subject import loaded_of, write_reference
from ldmbench.tensors.device import device_name, software_in_words

Coder: TypeAlias = Model | CalledStage
"""What encodes and decodes: of a model, or of the user's own code."""


@resident(2)
def coder_at(written: str, device: str) -> CalledStage:
    """Return the user's own first stage, as `called_at`."""
    code = Code.model_validate_json(written)
    made = made_of(code, "models")
    return CalledStage(made, side=code.resolution, title=code.target, device=device)


def first_stage_of(task: Task) -> Coder:
    """Return the first stage that a task is handed: trained here, loaded, or the user's own."""
    if task.local.call:
        return coder_at(task.local.call.model_dump_json(), task.device)
    if task.local.load:
        return loaded_of(task)
    return autoencoder_at(task.inputs["autoencoder"].folders[0], task.device)


def refer_to_coder(task: Task) -> None:
    """Make the user's first stage once, so that a fault in it fails here, and write what it is."""
    first_stage_of(task)
    write_reference(task, "called", task.params.keyed())


def measure_coder(task: Task, params: CoderSpeedParams, report: Report) -> None:
    """Measure encoding and decoding on this device."""
    let_go()  # so that peak memory is of this model alone
    setting = software_in_words(task.device)
    named = {"device": device_name(torch.device(task.device))}
    named |= {"setting": setting} if setting else {}
    coder = first_stage_of(task)
    found = CoderSpeed(coder, params, device=task.device, named=named, report=report)
    text = json.dumps(list(found.all()), indent=1)
    (task.output / "measures.json").write_text(text, encoding="utf-8")
    report(1.0, "")
