"""Stable Diffusion 2's text encoder, open_clip's text tower, as a transformers network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ldmbench.errors import InputError
from ldmbench.models.compvis.text import place_positions
from ldmbench.models.weights import Source, Tensors, fill
from ldmbench.sources.models.clip_config import (
    OPEN_BLOCKS,
    blocks_of,
    heads_of,
    read_open_clip_config,
)

__all__ = ["PAD", "build_open_clip"]

PAD = 0
"""Which open_clip pads prompts with, not with the token that ends them."""
_UNUSED = ("model.attn_mask", "model.logit_scale", "model.text_projection")


def build_open_clip(
    params: Mapping[str, object], tensors: Tensors, *, where: str, config: Path | None = None
) -> nn.Module:
    """Build the text tower of FrozenOpenCLIPEmbedder; its context is the last hidden state.

    The penultimate layer's output goes through the final norm as the last one's does, so that the
    network is one layer shorter. Sizes are those of the tensors; without a config heads are 64
    wide, as in the towers that were trained for Stable Diffusion.

    Args:
        params: layer ("last" or "penultimate") and arch, see `blocks_of`.
        tensors: keys from `model.` on.
        where: said in messages.
        config: see `find_text_config`.

    Raises:
        InputError: an unknown layer, a tower that is not causal, keys or sizes that do not fit.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    sizes = _sizes(tensors, where)
    held, kept, exported = blocks_of(params, tensors, config, where=where)
    _check_mask(tensors.get("model.attn_mask"), sizes["max_position_embeddings"], where)
    if config is None:
        quick = str(params.get("arch", "")).endswith("quickgelu")
        rules: dict[str, object] = {"hidden_act": "quick_gelu" if quick else "gelu"}
        rules["num_attention_heads"] = heads_of(sizes["hidden_size"], where=where)
    else:
        whole = sizes | {"num_hidden_layers": held + (exported is not None)}
        rules = read_open_clip_config(config, whole)
    words = sizes["vocab_size"]
    tokens = {"bos_token_id": words - 2, "eos_token_id": words - 1, "pad_token_id": PAD}
    shape = CLIPTextConfig(**sizes, num_hidden_layers=kept, **rules, **tokens)
    with torch.device("meta"):
        network: nn.Module = CLIPTextModel(shape)
    cut = tuple(f"{OPEN_BLOCKS}{i}." for i in range(kept, held))
    unused = {key for key in tensors if key in _UNUSED or key.startswith(cut)}
    fill(network, tensors, _sources(kept), where=where, ignore=unused.__contains__)
    place_positions(network)
    return network.eval().requires_grad_(False)


def _sizes(tensors: Tensors, where: str) -> dict[str, int]:
    """Return the whole tower's sizes under the names of CLIPTextConfig."""
    wide = f"{OPEN_BLOCKS}0.mlp.c_fc.weight"
    needed = ("model.token_embedding.weight", "model.positional_embedding", wide)
    lacking = [name for name in needed if name not in tensors or tensors[name].ndim != 2]
    if lacking:
        raise InputError(
            f"{where}: the checkpoint holds no OpenCLIP text encoder under cond_stage_model: "
            f"{lacking[0]} is missing or no matrix"
        )
    table, places = tensors[needed[0]], tensors[needed[1]]
    return {
        "vocab_size": int(table.shape[0]),
        "hidden_size": int(table.shape[1]),
        "intermediate_size": int(tensors[wide].shape[0]),
        "max_position_embeddings": int(places.shape[0]),
    }


def _check_mask(mask: torch.Tensor | None, places: int, where: str) -> None:
    """Refuse a stored mask that lets a token see those after it, or hides earlier ones."""
    if mask is None:
        return
    causal = torch.full((places, places), float("-inf")).triu(1)
    if mask.shape != causal.shape or not torch.equal(mask.float(), causal):
        raise InputError(
            f"{where}: model.attn_mask {tuple(mask.shape)} is not supported; allowed is the causal "
            f"mask of {places} tokens"
        )


def _sources(layers: int) -> dict[str, Source]:
    """Return parameter or module of the network -> where it comes from."""
    names = {
        "embeddings.token_embedding": Source("model.token_embedding"),
        "embeddings.position_embedding.weight": Source("model.positional_embedding"),
        "final_layer_norm": Source("model.ln_final"),
    }
    for i in range(layers):
        new, old = f"encoder.layers.{i}", f"{OPEN_BLOCKS}{i}"
        for kind in ("weight", "bias"):
            for part, letter in enumerate("qkv"):
                joint = Source(f"{old}.attn.in_proj_{kind}", part)
                names[f"{new}.self_attn.{letter}_proj.{kind}"] = joint
        names[f"{new}.self_attn.out_proj"] = Source(f"{old}.attn.out_proj")
        names[f"{new}.layer_norm1"] = Source(f"{old}.ln_1")
        names[f"{new}.layer_norm2"] = Source(f"{old}.ln_2")
        names[f"{new}.mlp.fc1"] = Source(f"{old}.mlp.c_fc")
        names[f"{new}.mlp.fc2"] = Source(f"{old}.mlp.c_proj")
    return names
