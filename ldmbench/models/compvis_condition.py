"""Cond stages of CompVis models: what the config names becomes a condition."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ldmbench.errors import InputError
from ldmbench.models.compvis_config import class_of, params_of
from ldmbench.models.compvis_networks import ClassEmbedder, SpatialRescaler
from ldmbench.models.compvis_text import build_bert, build_clip
from ldmbench.models.compvis_unet import UNetPlan
from ldmbench.models.load_conditions import (
    AlignedImage,
    ClassLabels,
    ClassTokens,
    Condition,
    ContextTensor,
    MaskedImage,
    NoCondition,
    Prompts,
    SemanticMap,
    TokenBoxes,
)
from ldmbench.models.load_stages import FirstStage
from ldmbench.models.load_tokenizers import bert_tokenizer, clip_tokenizer
from ldmbench.models.weights import Tensors, fill
from ldmbench.registry import nearest

__all__ = ["build_condition"]

_STAGES = (
    "BERTEmbedder",
    "ClassEmbedder",
    "FrozenCLIPEmbedder",
    "Identity",
    "SpatialRescaler",
    "TransformerEmbedder",
)
_DEFAULT_CLASSES = 1000


def build_condition(
    params: Mapping[str, Any],
    tensors: Tensors,
    *,
    plan: UNetPlan,
    channels: int,
    stage: FirstStage,
    tokenizer: Any,
    path: Path,
) -> Condition:
    """Build the condition of a latent diffusion model and fill its networks.

    Args:
        params: of the model: cond_stage_config, conditioning_key, concat_mode.
        tensors: the checkpoint's cond_stage_model part.
        plan: of the UNet.
        channels: of the latent.
        stage: the first stage, which inpainting uses as cond stage too.
        tokenizer: see `load`.
        path: the checkpoint, for messages and for a tokenizer beside it.

    Raises:
        InputError: a cond stage that is unknown or does not fit the UNet.
    """
    where = f"{path}: cond_stage_config"
    section = params.get("cond_stage_config", "__is_unconditional__")
    name = class_of(section, where=where)
    joined = plan.in_channels - channels
    if name == "__is_unconditional__":
        if joined or plan.context:
            raise InputError(f"{where} says unconditional, but the UNet takes a condition")
        return NoCondition() if plan.classes is None else ClassLabels(int(plan.classes))
    if name == "__is_first_stage__":
        return MaskedImage(encode=stage.encode, channels=joined)
    if name == "Identity" and joined:
        return AlignedImage(joined)
    if name == "Identity":
        return ContextTensor()
    own = params_of(section)
    if name == "ClassEmbedder":
        return ClassTokens(_embedder(own, tensors, where))
    if name == "SpatialRescaler":
        return SemanticMap(_rescaler(own, tensors, where))
    if name == "FrozenCLIPEmbedder":
        clip: Any = build_clip(tensors, where=where)
        length = int(own.get("max_length", clip.config.max_position_embeddings))
        finder = clip_tokenizer(tokenizer, beside=path.parent)
        return Prompts(clip, finder, length=length, name="text_encoder")
    if name in ("BERTEmbedder", "TransformerEmbedder"):
        return _bert(name, own, tensors, tokenizer, path)
    raise InputError(
        f"{where}: '{name}'{nearest(name, _STAGES)} is not supported; "
        f"there are: {', '.join(_STAGES)}, __is_first_stage__, __is_unconditional__"
    )


def _embedder(params: Mapping[str, Any], tensors: Tensors, where: str) -> ClassEmbedder:
    """Build the class table; configs that count their classes keep the last row for "no class"."""
    classes = int(params.get("n_classes", _DEFAULT_CLASSES))
    null = classes - 1 if classes != _DEFAULT_CLASSES else None
    with torch.device("meta"):
        network: ClassEmbedder = ClassEmbedder(classes, int(params["embed_dim"]), null)
    fill(network, tensors, {}, where=where)
    network.eval().requires_grad_(False)
    return network


def _rescaler(params: Mapping[str, Any], tensors: Tensors, where: str) -> SpatialRescaler:
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
    return Prompts(encoder, finder, length=int(params.get("max_seq_len", 77)))
