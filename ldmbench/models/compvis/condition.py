"""Cond stages of CompVis models: what the config names becomes a condition."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ldmbench.errors import InputError
from ldmbench.models.compvis.networks import ClassEmbedder, SpatialRescaler
from ldmbench.models.compvis.open_clip import PAD, build_open_clip
from ldmbench.models.compvis.text import build_bert, build_clip
from ldmbench.models.conditions import (
    PROMPT_LENGTH,
    ClassLabels,
    ClassTokens,
    Condition,
    ContextTensor,
    NoCondition,
    Prompts,
    TokenBoxes,
)
from ldmbench.models.first_stage import FirstStage
from ldmbench.models.image_conditions import AlignedImage, MaskedImage, MaskedPrompt, SemanticMap
from ldmbench.models.tokenizer_files import bert_tokenizer, clip_tokenizer
from ldmbench.models.weights import Tensors, fill
from ldmbench.sources.models.clip_config import CLIPS, find_text_config
from ldmbench.sources.models.compvis_config import class_of, params_of
from ldmbench.sources.models.compvis_plan import UNetPlan

__all__ = ["build_condition"]

_DEFAULT_CLASSES = 1000


def build_condition(
    params: Mapping[str, object],
    tensors: Tensors,
    *,
    plan: UNetPlan,
    channels: int,
    stage: FirstStage,
    scale: float,
    tokenizer: object,
    path: Path,
) -> Condition:
    """Build the condition of a latent diffusion model and fill its networks.

    Args:
        params: of the model: cond_stage_config, conditioning_key, concat_mode.
        tensors: the checkpoint's cond_stage_model part.
        plan: of the UNet.
        channels: of the latent.
        stage: the first stage, which inpainting uses as cond stage too.
        scale: of the latents.
        tokenizer: see `load`.
        path: the checkpoint, for messages and for a tokenizer beside it.

    Raises:
        InputError: a cond stage that is unknown or does not fit the UNet.
    """
    where = f"{path}: cond_stage_config"
    section = params.get("cond_stage_config", "__is_unconditional__")
    name = class_of(section, where=where)
    joined = plan.in_channels - channels
    own = params_of(section)
    found: Condition
    if name == "__is_unconditional__" or (name == "Identity" and plan.classes is not None):
        found = NoCondition() if plan.classes is None else ClassLabels(plan.classes)
    elif name == "__is_first_stage__":  # its tensors stand under both names
        return MaskedImage(encode=stage.encode, channels=joined)
    elif name == "Identity":
        found = AlignedImage(joined) if joined else ContextTensor()
    elif name == "ClassEmbedder":
        return ClassTokens(_embedder(own, tensors, where))
    elif name == "SpatialRescaler":
        return SemanticMap(_rescaler(own, tensors, where))
    elif name in CLIPS:
        return _clip(
            section,
            tensors,
            tokenizer,
            path,
            stage=stage,
            scale=scale,
            joined=joined,
            context=plan.context,
        )
    else:
        return _bert(name, own, tensors, tokenizer, path)
    if tensors:
        raise InputError(
            f"{where} is '{name}', which has no weights, but the checkpoint has {len(tensors)} of"
            f" a cond stage (cond_stage_model.{next(iter(tensors))}, ...); name the class that the"
            " model was trained with"
        )
    return found


def _clip(
    section: object,
    tensors: Tensors,
    tokenizer: object,
    path: Path,
    *,
    stage: FirstStage,
    scale: float,
    joined: int,
    context: int | None,
) -> Condition:
    """Build CLIP's text tower; with mask and masked latent joined it is SD's inpainting."""
    where, own = f"{path}: cond_stage_config", params_of(section)
    config, finder = find_text_config(section, path), clip_tokenizer(tokenizer, beside=path.parent)
    is_open = class_of(section, where=where) == "FrozenOpenCLIPEmbedder"
    clip: Any = (
        build_open_clip(own, tensors, where=where, config=config)
        if is_open
        else build_clip(tensors, where=where, config=config)
    )
    if clip.config.hidden_size != context:
        raise InputError(
            f"{where}: CLIP gives {clip.config.hidden_size} channels, the UNet's context_dim is "
            f"{context}"
        )
    places = clip.config.max_position_embeddings
    length = places if is_open else int(own.get("max_length", places))  # which it does not use
    pad = PAD if is_open else None
    prompts = Prompts(clip, finder, length=length, name="text_encoder", pad=pad)
    if not joined:
        return prompts
    return MaskedPrompt(prompts, encode=lambda x: stage.encode(x) * scale)


def _embedder(params: Mapping[str, Any], tensors: Tensors, where: str) -> ClassEmbedder:
    """Build the class table; configs that count their classes keep the last row for "no class"."""
    classes = int(params.get("n_classes", _DEFAULT_CLASSES))
    null = classes - 1 if classes != _DEFAULT_CLASSES else None
    with torch.device("meta"):
        network: ClassEmbedder = ClassEmbedder(classes, int(params["embed_dim"]), null)
    fill(network, tensors, {}, where=where)
    network.eval().requires_grad_(False)
    return network


def _rescaler(params: Mapping[str, object], tensors: Tensors, where: str) -> SpatialRescaler:
    allowed = ("n_stages", "method", "multiplier", "in_channels", "out_channels", "bias")
    known = {k: v for k, v in params.items() if k in allowed}
    with torch.device("meta"):
        network: SpatialRescaler = SpatialRescaler(**known)
    fill(network, tensors, {}, where=where)
    network.eval().requires_grad_(False)
    return network


def _bert(
    name: str, params: Mapping[str, Any], tensors: Tensors, tokenizer: Any, path: Path
) -> Condition:
    encoder = build_bert(params, tensors, where=f"{path}: cond_stage_config")
    if name == "TransformerEmbedder" or not params.get("use_tokenizer", True):
        return TokenBoxes(encoder)
    finder = bert_tokenizer(tokenizer, beside=path.parent)
    return Prompts(encoder, finder, length=int(params.get("max_seq_len", PROMPT_LENGTH)))
