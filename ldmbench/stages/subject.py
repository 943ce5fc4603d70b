"""What a task is about: a model trained here, one that is loaded, or the user's own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.models.call import Called
from ldmbench.models.files import kept_at
from ldmbench.models.loader import load
from ldmbench.models.model import Model
from ldmbench.models.pipelines.subject import Piped
from ldmbench.models.subject import Subject
from ldmbench.models.suite_model import SuiteModel
from ldmbench.models.trained import load_trained, training_batch
from ldmbench.schema.local import Code
from ldmbench.schema.params import Sampling
from ldmbench.schema.sample import factors_of
from ldmbench.schema.task import Task
from ldmbench.stages.common import resident
from ldmbench.stages.plugin import made_of


@resident(2)
def loaded_at(path: str, digest: str, device: str, **options: Any) -> Model:
    """Return a model from disk, if it is still the one that was planned."""
    model = load(path, **options)
    if model.info.digest != digest:
        raise InputError(f"{path} has changed since the run was planned; run again")
    return model.to(device)


def loaded_of(task: Task) -> Model:
    """Return the loaded model a task is about."""
    assert task.local.load is not None
    return loaded_at(**dict(task.local.load), device=task.device)


@resident(2)
def called_at(written: str, device: str) -> Called:
    """Return the user's own sampler of what a plan says of it, as JSON, if it is still that one."""
    code = Code.model_validate_json(written)
    return Called(
        made_of(code, "models"),
        side=code.resolution,
        conditioning=code.conditioning,
        title=code.target,
        device=device,
        counted=code.step_unit == "evaluations",
    )


def called_of(task: Task) -> Called:
    """Return the user's own sampler a task is about."""
    assert task.local.call is not None
    return called_at(task.local.call.model_dump_json(), task.device)


@resident(4)
def trained_at(autoencoder: Path, denoiser: Path, device: str) -> SuiteModel:
    """Return the model of two artefacts; content-addressed, so their paths name it."""
    model = load_trained(autoencoder, denoiser, device=device)
    return SuiteModel(model, batch=training_batch(denoiser))


def model_of(task: Task, progress: float = 1.0) -> SuiteModel:
    """Return the model a task is handed, trained here or loaded."""
    if task.local.load:
        return SuiteModel(loaded_of(task), task.local.given)
    folder = task.inputs["denoiser"].folders[0]
    if progress != 1:
        folder = folder / kept_at(progress)
    return trained_at(task.inputs["autoencoder"].folders[0], folder, task.device)


def subject_of(task: Task, progress: float = 1.0, *, size: str = "1") -> Subject:
    """Return what a task samples, a model or the user's own code, at a size of samples."""
    if (own := task.local.own) is not None:
        return Piped(loaded_of(task), side=own.side, call=own.call)
    if task.local.call:
        return called_of(task)
    return model_of(task, progress).enlarged(factors_of(size)).guided_by(guide_of(task))


def guide_of(task: Task) -> Model | None:
    """Return the model that guides the one a task is handed, trained here or loaded; or None."""
    denoiser = task.inputs.get("guide")
    if denoiser is None:
        return None
    if task.local.guide:
        return loaded_at(**dict(task.local.guide), device=task.device)
    assert isinstance(task.params, Sampling)
    folder, progress = denoiser.folders[0], task.params.guide_progress
    if progress != 1:
        folder = folder / kept_at(progress)
    return trained_at(task.inputs["guide_autoencoder"].folders[0], folder, task.device).model


def refer_to_loaded(task: Task) -> None:
    """Write what a loaded model is, and hold it to what its plan was made from."""
    info = loaded_of(task).info
    found = {
        "digest": info.digest,
        "source": info.source,
        "f": info.f,
        "sides": (info.f * info.latent_shape[1], info.f * info.latent_shape[2]),
        "conditioning": info.conditioning,
        "regularization": info.regularization,
        "quantize": info.quantize,
        "timesteps": info.timesteps,
        "weights": info.weights,
        "null_class": info.null_class,
        "scale": info.scale,
        "parameters": dict(info.parts),
    }
    if info.assumed:
        found["assumed"] = list(info.assumed)
    facts = task.local.facts
    for name, planned in facts if facts else ():
        if found[name] != planned and (name, planned) != ("scale", None):
            raise InputError(
                f"{info.path}: its configs say {name} {planned}, its weights say {found[name]};"
                " they do not belong together"
            )
    write_reference(task, "loaded", found)


def refer_to_called(task: Task) -> None:
    """Make the user's sampler once, so that a fault in it fails here, and write what it is."""
    write_reference(task, "called", {**task.params.keyed(), "shape": list(called_of(task).shape)})


def write_reference(task: Task, kind: str, facts: dict[str, Any]) -> None:
    """Write an artefact that copies no weights; its digest stands for theirs."""
    text = json.dumps({"kind": kind, **facts}, indent=1, sort_keys=True)
    (task.output / "reference.json").write_text(text, encoding="utf-8")
