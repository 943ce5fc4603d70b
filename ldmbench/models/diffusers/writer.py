"""A model as a diffusers folder: networks, scheduler, model_index.json and ldmbench.json."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ldmbench.errors import InputError
from ldmbench.models.conditions import Captions, ClassLabels, Prompts
from ldmbench.models.dit import SharedDiT
from ldmbench.models.files import API_VERSION, CARD
from ldmbench.models.first_stage import Normalised
from ldmbench.models.image_conditions import (
    AlignedImage,
    FittedImage,
    MaskedPrompt,
    UpscaledPrompt,
)
from ldmbench.models.model import Model
from ldmbench.sample.flow import Flow
from ldmbench.sample.schedule import Schedule
from ldmbench.sources.models.diffusers_schedule import FLOW_SCHEDULER

__all__ = ["as_diffusers", "pipeline_of", "write_folder"]

_TRANSFORMERS = ("DiTTransformer2DModel", "ModulatedTransformer2DModel")
_NAMES = {"first_stage": "vqvae", "denoiser": "unet"}
_log = logging.getLogger(__name__)


def write_folder(model: Model, folder: Path, **facts: object) -> None:
    """Write a model as the folder that `load` reads.

    Networks that diffusers has no class for are written under our own class names, with
    `DiffusionPipeline` as the pipeline; ldmbench.json keeps the source's rules.

    Args:
        model: of any source; a first stage alone becomes a folder of its own.
        folder: is made.
        facts: what ldmbench.json is to say beside.
    """
    folder.mkdir(parents=True, exist_ok=True)
    card, model = _card(model) | facts, _as_written(model)
    if model.network is None:
        if model.info.latents and "latents" not in card:  # of a denoiser to come
            card["latent_rule"] = model.info.latents.model_dump(mode="json")
        _save(model.first_stage.network, folder)
        _write_json(folder / CARD, card)
        return
    index: dict[str, object] = {"_class_name": pipeline_of(model)}
    for name, network in model.networks().items():
        part = _part(model, name)
        _save(network, folder / part)
        index[part] = _library(network)
    index |= _write_scheduler(model, folder)
    index |= _write_noising(model, folder)
    index |= _write_tokenizer(model, folder)
    _write_json(folder / "model_index.json", index)
    _write_json(folder / CARD, card)


def as_diffusers(network: object) -> Any:
    """Return a network as it is written: one whose blocks share a table as diffusers' own class."""
    return network.untied() if isinstance(network, SharedDiT) else network


def _as_written(model: Model) -> Model:
    network = as_diffusers(model.network)
    if network is model.network:
        return model
    return Model(model.info, model.first_stage, network=network, condition=model.condition)


def _write_noising(model: Model, folder: Path) -> dict[str, object]:
    """Write the process that blurs an upscaler's low-resolution image."""
    condition = model.condition
    if not isinstance(condition, UpscaledPrompt) or condition.noising is None:
        return {}
    config = {"_class_name": "DDPMScheduler"} | _plain(condition.noising.config())
    _write_json(folder / "low_res_scheduler" / "scheduler_config.json", config)
    entries: dict[str, object] = {"low_res_scheduler": ["diffusers", "DDPMScheduler"]}
    return entries | {"max_noise_level": condition.largest}


def _save(network: Any, folder: Path) -> None:
    network.save_pretrained(folder, safe_serialization=True)


def _part(model: Model, name: str) -> str:
    if name == "first_stage" and pipeline_of(model).startswith(("StableDiffusion", "DiT")):
        return "vae"
    if name == "denoiser" and type(model.network).__name__ in _TRANSFORMERS:
        return "transformer"
    return _NAMES.get(name, name)


def _library(network: nn.Module) -> list[str]:
    """Return the two words by which a model_index.json names a component's class."""
    root, name = type(network).__module__.split(".")[0], type(network).__name__
    if name == "LDMBertModel":
        return ["latent_diffusion", name]
    return [type(network).__module__ if root == "ldmbench" else root, name]


def pipeline_of(model: Model) -> str:
    """Return the diffusers pipeline that runs such a model, or the bare base class."""
    model = _as_written(model)
    condition, kind = model.condition, type(model.network).__name__
    if model.info.flow is not None:  # pipelines of these networks would sample betas
        return "DiffusionPipeline"
    own = any(type(n).__module__.startswith("ldmbench.") for n in model.networks().values())
    if own or isinstance(model.first_stage, Normalised):
        return "DiffusionPipeline"
    if kind == "DiTTransformer2DModel":
        decoded = model.first_stage.network is not None
        return "DiTPipeline" if decoded and condition.kind == "class" else "DiffusionPipeline"
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


def _write_scheduler(model: Model, folder: Path) -> dict[str, object]:
    """Write the scheduler that means the same; a flow that none means has only ldmbench.json."""
    info = model.info
    config = _flow_config(info.flow) if info.flow else _betas_config(info.schedule)
    if config is None:
        return {}
    _write_json(folder / "scheduler" / "scheduler_config.json", _plain(config))
    return {"scheduler": ["diffusers", config["_class_name"]]}


def _flow_config(flow: Flow) -> dict[str, object] | None:
    """Return a scheduler config of a straight path whose velocity is noise - data, else None."""
    if (flow.path, flow.prediction, flow.noise_at) != ("linear", "velocity", 1):
        return None
    return {"_class_name": FLOW_SCHEDULER, "num_train_timesteps": 1000, "shift": flow.shift}


def _betas_config(schedule: Schedule | None) -> dict[str, object]:
    """Return a DDIM scheduler config; the compvis rule becomes the spacing nearest to it."""
    assert schedule is not None
    config = {"_class_name": "DDIMScheduler"} | schedule.config()
    if schedule.spacing == "compvis":
        config["timestep_spacing"] = "leading"
    return config


def _plain(config: Mapping[str, object]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}


def _card(model: Model) -> dict[str, object]:
    info = model.info
    card: dict[str, object] = {
        "api_version": API_VERSION,
        "channels": info.latent_shape[0],
        "conditioning": info.conditioning,
        "quantize": info.quantize,
        "scale": info.scale,
        "source": info.source,
        "source_digest": info.digest,
        "weights": info.weights,
    }
    if isinstance(model.first_stage, Normalised):
        card["latents"] = model.first_stage.rule.model_dump(mode="json")
    if isinstance(model.condition, ClassLabels) and info.null_class is not None:
        card["null_class"] = info.null_class
    if isinstance(model.network, SharedDiT):
        card["shared_table"] = True
    if info.time_scale != 1:
        card["time_scale"] = info.time_scale
    if info.flow is not None:
        card["flow"] = info.flow.fields()
    if info.guidance_interval is not None:
        card["guidance_interval"] = list(info.guidance_interval)
    if info.guided_channels is not None:
        card["guided_channels"] = info.guided_channels
    if info.timesteps is not None:
        card["timesteps"] = info.timesteps
    if isinstance(model.condition, FittedImage):
        card["small_size"] = model.condition.small
    given = getattr(model.condition, "given", {})
    card |= {"given": dict(given)} if given else {}
    prompts = getattr(model.condition, "prompts", model.condition)
    if isinstance(prompts, Prompts):
        card["prompt_length"] = prompts.length
        card |= {} if prompts.pad is None else {"prompt_pad": prompts.pad}
    return card


def _write_tokenizer(model: Model, folder: Path) -> dict[str, Any]:
    """Write the tokenizer where there is one; a model can be converted without."""
    condition = model.condition
    prompts = getattr(condition, "prompts", condition)
    if not isinstance(prompts, Prompts) or isinstance(prompts, Captions):
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


def _write_json(place: Path, content: Mapping[str, object]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
