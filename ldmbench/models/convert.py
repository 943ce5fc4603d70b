"""`convert`: any loaded model as a diffusers folder with safetensors, checked against itself."""

from __future__ import annotations

import copy
import json
import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ldmbench.errors import InputError, LdmbenchError
from ldmbench.models.load_conditions import (
    ClassLabels,
    ClassTokens,
    Inputs,
    Prompts,
    TokenBoxes,
)
from ldmbench.models.load_images import (
    AlignedImage,
    EnlargedImage,
    MaskedPrompt,
    UpscaledPrompt,
)
from ldmbench.models.load_model import Model
from ldmbench.sample import initial_noise

__all__ = ["AGREEMENT", "convert"]

AGREEMENT = 1e-5
_VERSION = 1
_RULES = ("conditioning", "f", "guided_channels", "latent_shape", "null_class", "quantize",
          "regularization", "scale", "time_scale", "timesteps", "weights")  # fmt: skip
_NAMES = {"first_stage": "vqvae", "denoiser": "unet"}
_log = logging.getLogger(__name__)


def convert(model: Model | Path | str, out: Path | str) -> Path:
    """Write a model as a diffusers folder and check that its outputs agree.

    The folder appears only when the check has passed. Networks that diffusers has no class for
    (class tables, rescalers, fixed head counts) are written under our own class names, with
    `DiffusionPipeline` as the pipeline; `ldmbench.json` keeps the source's rules.

    Args:
        model: a loaded model, or what `load` takes.
        out: the folder to write; must not exist, or be empty.

    Returns:
        The folder.

    Raises:
        InputError: the folder is in use, or the outputs of the written folder differ by more than
            1e-5 of the largest value.
    """
    from ldmbench.models.loader import load

    source = model if isinstance(model, Model) else load(model)
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not empty; name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        written = Path(scratch) / "model"
        _write(source, written)
        _check(source, load(written))
        if folder.exists():
            folder.rmdir()
        shutil.move(written, folder)
    return folder


def _write(model: Model, folder: Path) -> None:
    folder.mkdir()
    if model.network is None:
        _save(model.first_stage.network, folder)
        _write_json(folder / "ldmbench.json", _card(model))
        return
    index: dict[str, Any] = {"_class_name": _pipeline(model)}
    for name, network in model.networks().items():
        part = _part(model, name)
        _save(network, folder / part)
        index[part] = _library(network)
    _write_json(folder / "scheduler" / "scheduler_config.json", _scheduler(model))
    index["scheduler"] = ["diffusers", "DDIMScheduler"]
    index |= _write_noising(model, folder)
    index |= _write_tokenizer(model, folder)
    _write_json(folder / "model_index.json", index)
    _write_json(folder / "ldmbench.json", _card(model))


def _write_noising(model: Model, folder: Path) -> dict[str, Any]:
    """Write the process that blurs an upscaler's low-resolution image."""
    condition = model.condition
    if not isinstance(condition, UpscaledPrompt) or condition.noising is None:
        return {}
    config = {"_class_name": "DDPMScheduler"} | _plain(condition.noising.config())
    _write_json(folder / "low_res_scheduler" / "scheduler_config.json", config)
    told: dict[str, Any] = {"low_res_scheduler": ["diffusers", "DDPMScheduler"]}
    return told | {"max_noise_level": condition.largest}


def _save(network: Any, folder: Path) -> None:
    network.save_pretrained(folder, safe_serialization=True)


def _part(model: Model, name: str) -> str:
    if name == "first_stage" and _pipeline(model).startswith(("StableDiffusion", "DiT")):
        return "vae"
    if name == "denoiser" and type(model.network).__name__ == "DiTTransformer2DModel":
        return "transformer"
    return _NAMES.get(name, name)


def _library(network: nn.Module) -> list[str]:
    """Return the two words by which a model_index.json names a component's class."""
    root, name = type(network).__module__.split(".")[0], type(network).__name__
    if name == "LDMBertModel":
        return ["latent_diffusion", name]
    return [type(network).__module__ if root == "ldmbench" else root, name]


def _pipeline(model: Model) -> str:
    """Return the diffusers pipeline that runs such a model, or the bare base class."""
    condition, kind = model.condition, type(model.network).__name__
    if any(type(n).__module__.startswith("ldmbench.") for n in model.networks().values()):
        return "DiffusionPipeline"
    if kind == "DiTTransformer2DModel":
        return "DiTPipeline"
    if isinstance(condition, MaskedPrompt):
        return "StableDiffusionInpaintPipeline"
    if isinstance(condition, UpscaledPrompt):
        return "StableDiffusionUpscalePipeline"
    if isinstance(condition, Prompts):
        bert = condition.name == "bert"
        return "LDMTextToImagePipeline" if bert else "StableDiffusionPipeline"
    if isinstance(condition, ClassLabels):
        return "DiffusionPipeline"
    if isinstance(condition, AlignedImage) and model.info.scale == 1.0:
        return "LDMSuperResolutionPipeline"
    if condition.kind == "none":
        return "LDMPipeline" if model.first_stage.network is not None else "DDIMPipeline"
    return "DiffusionPipeline"


def _scheduler(model: Model) -> dict[str, Any]:
    """Return a DDIM scheduler config; the compvis rule becomes the spacing nearest to it."""
    schedule = model.info.schedule
    assert schedule is not None
    config = {"_class_name": "DDIMScheduler"} | schedule.config()
    if schedule.spacing == "compvis":
        config["timestep_spacing"] = "leading"
    return _plain(config)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}


def _card(model: Model) -> dict[str, Any]:
    info = model.info
    card: dict[str, Any] = {
        "api_version": _VERSION,
        "channels": info.latent_shape[0],
        "conditioning": info.conditioning,
        "quantize": info.quantize,
        "scale": info.scale,
        "source": info.source,
        "source_digest": info.digest,
        "weights": info.weights,
    }
    if isinstance(model.condition, ClassLabels) and info.null_class is not None:
        card["null_class"] = info.null_class
    if info.time_scale != 1:
        card["time_scale"] = info.time_scale
    if info.guided_channels is not None:
        card["guided_channels"] = info.guided_channels
    if info.timesteps is not None:
        card["timesteps"] = info.timesteps
    if isinstance(model.condition, EnlargedImage):
        card["small_size"] = model.condition.small
    prompts = getattr(model.condition, "prompts", model.condition)
    if isinstance(prompts, Prompts):
        card["prompt_length"] = prompts.length
        card |= {} if prompts.pad is None else {"prompt_pad": prompts.pad}
    return card


def _write_tokenizer(model: Model, folder: Path) -> dict[str, Any]:
    """Write the tokenizer where there is one; a model can be converted without."""
    condition = model.condition
    prompts = getattr(condition, "prompts", condition)
    if not isinstance(prompts, Prompts):
        return {}
    try:
        tokenizer = prompts.tokenizer()
    except InputError as error:
        _log.warning("written without a tokenizer: %s", error)
        return {"tokenizer": [None, None]}
    if not hasattr(tokenizer, "save_pretrained"):
        return {"tokenizer": [None, None]}
    if prompts.pad is not None:
        tokenizer = copy.deepcopy(tokenizer)  # the caller's own stays as it is
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(prompts.pad)
    tokenizer.save_pretrained(folder / "tokenizer")
    return {"tokenizer": ["transformers", type(tokenizer).__name__]}


def _write_json(place: Path, content: Mapping[str, Any]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _check(source: Model, written: Model) -> None:
    """Compare both models on the same inputs; raise if any output differs."""
    C, h, w = source.info.latent_shape
    z = initial_noise([0, 1], seed=0, shape=(C, h, w))
    worst = {"decode": _distance(source.decode(z), written.decode(z))}
    images = initial_noise([0, 1], seed=1, shape=(3, h * source.info.f, w * source.info.f))
    worst["encode"] = _distance(source.encode(images.tanh()), written.encode(images.tanh()))
    if source.network is not None and source.info.schedule is not None:
        t = torch.tensor([1, source.info.schedule.T // 2])
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
    if isinstance(condition, EnlargedImage):
        side = [s * condition.small // condition.large for s in z.shape[2:]]
        told: Any = initial_noise([0, 1], seed=2, shape=(3, *side))
        if condition.classes is not None:
            told = {"labels": torch.zeros(len(z), dtype=torch.int64), "image": told}
        return condition.inputs(told, z)
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
