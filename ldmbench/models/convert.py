"""`convert`: any loaded model as a diffusers folder with safetensors, checked against itself."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ldmbench.errors import InputError, LdmbenchError
from ldmbench.models.conditions import (
    ClassLabels,
    ClassTokens,
    Inputs,
    Prompts,
    TokenBoxes,
)
from ldmbench.models.diffusers.writer import write_folder
from ldmbench.models.first_stage import Representation
from ldmbench.models.image_conditions import FittedImage, MaskedPrompt, UpscaledPrompt
from ldmbench.models.loader import load
from ldmbench.models.model import Model
from ldmbench.models.pipelines.pipeline import Pipeline
from ldmbench.sample import initial_noise

__all__ = ["AGREEMENT", "convert"]

AGREEMENT = 1e-5
PROBED = 32
"""Side of the latents, at the most, on which a first stage alone is compared."""
_RULES = ("conditioning", "f", "flow", "guidance_interval", "guided_channels", "latent_shape",
          "null_class", "quantize", "regularization", "scale", "time_scale", "timesteps",
          "weights")  # fmt: skip


def convert(model: Model | Path | str, out: Path | str, **facts: object) -> Path:
    """Write a model as a diffusers folder and check that its outputs agree.

    The folder appears only when the check has passed. Networks that diffusers has no class for
    (class tables, rescalers, fixed head counts) are written under our own class names, with
    `DiffusionPipeline` as the pipeline; `ldmbench.json` keeps the source's rules.

    Args:
        model: a loaded model, or what `load` takes.
        out: the folder to write; must not exist, or be empty.
        facts: what ldmbench.json is to say beside.

    Returns:
        The folder.

    Raises:
        InputError: the folder is in use, or the outputs of the written folder differ by more than
            1e-5 of the largest value.
    """
    source = model if isinstance(model, Model) else load(model)
    if isinstance(source, Pipeline):
        raise InputError(
            f"{source.info.path} is a folder of diffusers already, which its own class loads"
        )
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not empty; name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        written = Path(scratch) / "model"
        write_folder(source, written, **facts)
        _check(source, load(written))
        if folder.exists():
            folder.rmdir()
        shutil.move(written, folder)
    return folder


def _check(source: Model, written: Model) -> None:
    """Compare both models on the same inputs; raise if any output differs."""
    C, h, w = source.info.latent_shape
    if source.network is None and not isinstance(source.first_stage, Representation):
        h, w = min(h, PROBED), min(w, PROBED)  # any size tells; attention of 1024 px takes minutes
    z = initial_noise([0, 1], seed=0, shape=(C, h, w))
    worst = {"decode": _distance(source.decode(z), written.decode(z))}
    images = initial_noise([0, 1], seed=1, shape=(3, h * source.info.f, w * source.info.f))
    worst["encode"] = _distance(source.encode(images.tanh()), written.encode(images.tanh()))
    if source.network is not None:
        schedule = source.info.schedule
        t = torch.tensor([1, schedule.T // 2] if schedule else [0.1, 0.5])
        with torch.no_grad():
            inputs = _probe(source, z), _probe(written, z)
            ours, theirs = source.predict(z, t, inputs[0]), written.predict(z, t, inputs[1])
        worst["denoise"] = _distance(ours, theirs)
    worst |= {name: float("inf") for name in _unlike(source, written)}
    apart = {name: value for name, value in worst.items() if not value <= AGREEMENT}
    if apart:
        raise LdmbenchError(
            f"the converted folder does not agree with {source.info.path}: "
            + ", ".join(f"{name} differs by {value:.2g}" for name, value in apart.items())
            + f" of the largest value, allowed are {AGREEMENT}; nothing was written"
        )


def _unlike(source: Model, written: Model) -> list[str]:
    """Return the rules in which two models differ, the schedule's betas among them."""
    ours, theirs = source.info, written.info
    unlike = [name for name in _RULES if getattr(ours, name) != getattr(theirs, name)]
    if ours.schedule is not None and theirs.schedule is not None:
        same = np.array_equal(ours.schedule.beta_array(), theirs.schedule.beta_array())
        if not same or ours.schedule.prediction != theirs.schedule.prediction:
            unlike.append("schedule")
    return unlike


def _distance(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / ours.abs().max().clamp(min=1e-12))


def _probe(model: Model, z: torch.Tensor) -> Inputs:
    """Return inputs of the network that go through every network of the condition."""
    condition = model.condition
    network: Any = model.network
    parts: dict[str, Any] = dict(condition.parts())
    if isinstance(condition, ClassLabels | ClassTokens):
        return condition.inputs(torch.zeros(len(z), dtype=torch.int64), z)
    if isinstance(condition, TokenBoxes):
        return condition.inputs(torch.arange(6).reshape(2, 3), z)
    if isinstance(condition, Prompts | MaskedPrompt | UpscaledPrompt):
        return _probe_prompts(condition, z)
    if condition.kind == "none":
        return {}
    if condition.kind == "embedding":
        width = int(network.config.cross_attention_dim)
        return {"context": initial_noise([0, 1], seed=2, shape=(4, width))}
    if condition.kind == "semantic":
        classes = int(parts["rescaler"].config.in_channels)
        side = [s * model.info.f for s in z.shape[2:]]
        return condition.inputs(initial_noise([0, 1], seed=2, shape=(classes, *side)), z)
    if isinstance(condition, FittedImage):
        side = [s * condition.small // condition.large for s in z.shape[2:]]
        cond: Any = initial_noise([0, 1], seed=2, shape=(3, *side))
        if condition.classes is not None:
            cond = {"labels": torch.zeros(len(z), dtype=torch.int64), "image": cond}
        return condition.inputs(cond, z)
    joined = int(network.config.in_channels) - z.shape[1]
    return condition.inputs(initial_noise([0, 1], seed=2, shape=(joined, *z.shape[2:])), z)


def _probe_prompts(condition: Prompts | MaskedPrompt | UpscaledPrompt, z: torch.Tensor) -> Inputs:
    prompts = condition if isinstance(condition, Prompts) else condition.prompts
    ids = torch.arange(2 * min(prompts.length, 4)).reshape(2, -1)
    found = prompts.inputs(ids, z)
    if isinstance(condition, MaskedPrompt):
        found["concat"] = initial_noise([0, 1], seed=2, shape=(z.shape[1] + 1, *z.shape[2:]))
    if isinstance(condition, UpscaledPrompt):
        found["concat"] = initial_noise([0, 1], seed=2, shape=(3, *z.shape[2:]))
        found["labels"] = torch.zeros(len(z), dtype=torch.int64)
    return found
