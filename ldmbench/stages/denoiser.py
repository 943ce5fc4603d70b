"""denoiser: latents (pixels when f = 1) and conditions -> averaged weights."""

from __future__ import annotations

import json

import numpy as np
import torch

from ldmbench.catalog.tasks import TASKS
from ldmbench.data.shards import ImageShards
from ldmbench.data.twice import MIRRORED, TwiceContexts, TwiceImages, TwiceLatents
from ldmbench.errors import InputError
from ldmbench.models.conditioner import Brought
from ldmbench.models.model import Model
from ldmbench.models.trained import load_trained
from ldmbench.schema.params import CalledDenoiser, Denoiser, LoadedDenoiser, TrainedDenoiser
from ldmbench.schema.task import Task
from ldmbench.stages.common import Report, autoencoder_at, contexts_of, images_of, rows_of
from ldmbench.stages.subject import loaded_of, refer_to_called, refer_to_loaded
from ldmbench.stages.truth import Truths
from ldmbench.train.denoiser import train_denoiser
from ldmbench.train.inputs import Contexts, Images, Latents


def run(task: Task[Denoiser], report: Report) -> None:
    """Train a diffusion model within its budget, or refer to one that is loaded or called."""
    match task.params:
        case LoadedDenoiser():
            refer_to_loaded(task)
        case CalledDenoiser():
            refer_to_called(task)
        case TrainedDenoiser() as params:
            _train(task, params, report)


def _train(task: Task, params: TrainedDenoiser, report: Report) -> None:
    images, reads = images_of(task), TASKS[params.section.conditioning].input
    encodes = params.section.conditioning in ("inpainting", "image")
    device = task.device if encodes else "cpu"
    first_stage = autoencoder_at(task.inputs["autoencoder"].folders[0], device)
    _check_conditions(images, reads)
    truth = Truths(task.inputs["images"]) if reads == "truth" else None
    side = images.images(np.zeros(1, np.int64)).shape[1]
    folders = task.inputs["images"].folders
    facts = [json.loads((f / "facts.json").read_text("utf-8")) for f in folders]
    found = task.inputs.get("latents")
    latents: Latents | None = rows_of(found, "latents.npy") if found else None
    shown: Images = images
    read = task.inputs.get("contexts")
    contexts: Contexts | None = contexts_of(read) if read else None
    if found and (found.folders[0] / MIRRORED).exists():
        latents = TwiceLatents(rows_of(found, "latents.npy"), rows_of(found, MIRRORED))
        shown = TwiceImages(images)
        contexts = TwiceContexts(contexts_of(read)) if read else None
    train_denoiser(
        params.section,
        params.budget,
        images=shown,
        latents=latents,
        contexts=contexts,
        latent_shape=first_stage.shape_of(side),
        brought=Brought(
            classes=max(fact["classes"] for fact in facts),
            objects=truth.objects if truth else 0,
            f=first_stage.info.f,
            text=task.local.text,
            encode=torch.no_grad()(first_stage.first_stage.encode),
        ),
        truth=truth,
        start=_start(task),
        devices=task.devices,
        states=task.states,
        device=task.device,
        scratch=task.scratch,
        output=task.output,
        report=report,
    )


def _start(task: Task) -> Model | None:
    """Return the model whose weights a training starts from: loaded, or trained here."""
    if "init" not in task.inputs:
        return None
    if task.local.load:
        return loaded_of(task).to("cpu")
    first, source = (task.inputs[role].folders[0] for role in ("autoencoder", "init"))
    return load_trained(first, source)


def _check_conditions(images: ImageShards, conditioning: str) -> None:
    """Refuse to train on captions or classes that tell nothing: code of the user's own may.

    Raises:
        InputError: no image has a caption, or all are of one class.
    """
    everything = np.arange(len(images))
    if conditioning == "caption" and not any(images.captions(everything)):
        raise InputError(
            f"none of {len(images)} training images has a caption, and the model takes captions;"
            " return some for the split train, or set conditioning: none"
        )
    if conditioning == "class" and len(np.unique(images.labels(everything))) < 2:
        raise InputError(
            f"all {len(images)} training images are of one class, and the model takes classes;"
            " return labels of several for the split train, or set conditioning: none"
        )
