"""Diffusers folders: pipelines and bare first stages, read by name from a table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ldmbench.canonical import digest_files
from ldmbench.models.conditions import (
    Captions,
    ClassLabels,
    ClassTokens,
    Condition,
    ContextTensor,
    NoCondition,
    Prompts,
    TokenBoxes,
)
from ldmbench.models.diffusers.parts import load_network, load_text, load_tokenizer
from ldmbench.models.dit import shared
from ldmbench.models.first_stage import STAGES, FirstStage, Identity, Normalised
from ldmbench.models.image_conditions import (
    AlignedImage,
    EncodedImage,
    FittedImage,
    MaskedImage,
    MaskedPrompt,
    SemanticMap,
    UpscaledPrompt,
)
from ldmbench.models.model import Model, info_of
from ldmbench.schema.models import LatentRule
from ldmbench.sources.models.config_kinds import values_of
from ldmbench.sources.models.diffusers_classes import FIRST_STAGES
from ldmbench.sources.models.diffusers_config import (
    CAPTION_ENCODER,
    CARD,
    FolderConfigs,
    read_folder,
)
from ldmbench.sources.models.diffusers_schedule import read_noising
from ldmbench.sources.models.peek import describe_folder
from ldmbench.sources.models.places import component, part_of

__all__ = ["CARD", "load_folder"]


def load_folder(
    folder: Path, *, ema: bool = True, tokenizer: object = None, first_stage: Model | None = None
) -> Model:
    """Load a diffusers folder.

    Args:
        folder: what `read_folder` takes.
        ema: whether averaged weights are wanted, where a component has both.
        tokenizer: takes the place of the folder's own.
        first_stage: of a denoiser that a store keeps apart from it.

    Raises:
        InputError: a pipeline, network or scheduler that is not supported; keys that do not fit.
    """
    configs = read_folder(folder, ema=ema, apart=first_stage is not None)
    with values_of(folder):
        return _load(configs, ema, tokenizer, first_stage)


def _load(configs: FolderConfigs, ema: bool, tokenizer: object, apart: Model | None) -> Model:
    stage = apart.first_stage if apart else _stage(configs, ema)
    info = info_of(
        describe_folder(configs),
        path=configs.root,
        digest=digest_files(configs.files, root=configs.root),
        latent_shape=(configs.channels, *configs.size),
        f=apart.info.f if apart else configs.f,
        scale=apart.info.scale if apart else configs.scale,
    )
    if not configs.samples:
        return Model(replace(info, latents=_with_statistics(info.latents, stage.network)), stage)
    network: Any = load_network(
        configs.config_of(("unet", "transformer")), configs.network, ema=ema
    )
    if configs.card.get("shared_table"):
        network = shared(network)
    condition = _condition(configs, network, stage, tokenizer, ema)
    info = replace(
        info,
        schedule=configs.schedule,
        flow=configs.flow,
        time_scale=configs.time_scale,
        guided_channels=configs.card.get("guided_channels"),
    )
    return Model(info, stage, network=network, condition=condition)


def _with_statistics(rule: LatentRule | None, network: Any) -> LatentRule | None:
    """Return a rule with the statistics that lie among the weights of AutoencoderKLFlux2."""
    if rule is None or type(network).__name__ != "AutoencoderKLFlux2":
        return rule
    mean = network.bn.running_mean
    std = torch.sqrt(network.bn.running_var + network.config.batch_norm_eps)
    found = {"mean": tuple(mean.tolist()), "std": tuple(std.tolist())}
    return rule.model_copy(update=found)


def _adapter(configs: FolderConfigs) -> str:
    return FIRST_STAGES[str(configs.stage["_class_name"])].adapter


def _stage(configs: FolderConfigs, ema: bool) -> FirstStage:
    if not configs.stage:
        return Identity()
    place = configs.config_of(("vqvae", "vae")) if configs.samples else configs.root
    stage: FirstStage = STAGES[_adapter(configs)](load_network(place, configs.stage, ema=ema))
    rule = configs.latents if "latents" in configs.card else None
    return Normalised(stage, rule) if rule else stage


def _condition(
    configs: FolderConfigs, network: Any, stage: FirstStage, tokenizer: Any, ema: bool
) -> Condition:
    """Build the condition that the configs tell of."""
    root, kind, classes = configs.root, configs.conditioning, network.config.get("num_class_embeds")
    if kind == "class" and component(configs.index, ("class_embedder",)):
        return ClassTokens(load_network(part_of(root, "class_embedder"), ema=ema))
    if kind == "class":
        assert configs.classes is not None
        return ClassLabels(configs.classes, null_class=configs.null_class)
    if kind == "semantic":
        return SemanticMap(load_network(part_of(root, "rescaler"), ema=ema))
    if configs.text == CAPTION_ENCODER:
        return Captions(load_network(part_of(root, CAPTION_ENCODER), ema=ema))
    if configs.text is not None:
        return _prompted(configs, stage, tokenizer)
    if kind == "inpainting":
        return MaskedImage(encode=stage.encode, channels=configs.joined, given=configs.given)
    if kind == "image-to-image":
        return EncodedImage(encode=stage.encode, channels=configs.joined, given=configs.given)
    if kind == "embedding":
        return ContextTensor()
    if "small_size" in configs.card:
        small, large = int(configs.card["small_size"]), configs.size[0]
        return FittedImage(small, large, classes, given=configs.given)
    return AlignedImage(configs.joined, given=configs.given) if kind == "image" else NoCondition()


def _prompted(configs: FolderConfigs, stage: FirstStage, tokenizer: object) -> Condition:
    root, part, card = configs.root, configs.text, configs.card
    assert part is not None
    encoder: object = load_text(part_of(root, part))
    if configs.conditioning == "layout":
        return TokenBoxes(encoder)
    finder, length = load_tokenizer(root, given=tokenizer, text=part, encoder=encoder)
    length = int(card.get("prompt_length", length))
    pad = int(card["prompt_pad"]) if "prompt_pad" in card else None
    prompts = Prompts(encoder, finder, length=length, name=part, pad=pad)
    if configs.conditioning == "text":
        return prompts
    if configs.conditioning == "upscaling":
        noising = component(configs.index, ("low_res_scheduler",))
        return UpscaledPrompt(
            prompts,
            noising=read_noising(root, noising, configs.index) if noising else None,
            largest=int(configs.index.get("max_noise_level") or 350),
        )
    scale = configs.scale
    return MaskedPrompt(prompts, encode=lambda x: stage.encode(x) * scale)
