"""CompVis text and layout encoders (BERTEmbedder, CLIP) as transformers networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ldmbench.errors import InputError
from ldmbench.models.weights import Source, Tensors, fill
from ldmbench.sources.models.clip_config import heads_of, read_clip_config

__all__ = ["build_bert", "build_clip", "place_positions"]


def build_bert(params: Mapping[str, Any], tensors: Tensors, *, where: str) -> nn.Module:
    """Build the transformer of BERTEmbedder or TransformerEmbedder (x-transformers, pre-norm).

    Args:
        params: n_embed, n_layer, vocab_size, max_seq_len.
        tensors: keys from `transformer.` on.
        where: said in messages.
    """
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import (
        LDMBertConfig,
        LDMBertModel,
    )

    lacking = [k for k in ("n_embed", "n_layer") if k not in params]
    if lacking:
        raise InputError(f"{where}: the text encoder's config lacks {', '.join(lacking)}")
    width, layers = int(params["n_embed"]), int(params["n_layer"])
    config = LDMBertConfig(
        vocab_size=int(params.get("vocab_size", 30522)),
        max_position_embeddings=int(params.get("max_seq_len", 77)),
        encoder_layers=layers,
        encoder_ffn_dim=4 * width,
        encoder_attention_heads=8,
        head_dim=64,
        d_model=width,
        dropout=0.0,
    )
    with torch.device("meta"):
        network: nn.Module = LDMBertModel(config)
    fill(network, tensors, _bert_sources(layers), where=where)
    return network.eval().requires_grad_(False)


def _bert_sources(layers: int) -> dict[str, Source]:
    names = {
        "model.embed_tokens": "transformer.token_emb",
        "model.embed_positions": "transformer.pos_emb.emb",
        "model.layer_norm": "transformer.norm",
        "to_logits": "transformer.to_logits",
    }
    for i in range(layers):
        new, old = f"model.layers.{i}", "transformer.attn_layers.layers"
        attend, feed = f"{old}.{2 * i}", f"{old}.{2 * i + 1}"
        for part in "qkv":
            names[f"{new}.self_attn.{part}_proj"] = f"{attend}.1.to_{part}"
        names[f"{new}.self_attn.out_proj"] = f"{attend}.1.to_out"
        names[f"{new}.self_attn_layer_norm"] = f"{attend}.0"
        names[f"{new}.final_layer_norm"] = f"{feed}.0"
        names[f"{new}.fc1"] = f"{feed}.1.net.0.0"
        names[f"{new}.fc2"] = f"{feed}.1.net.2"
    return {new: Source(old) for new, old in names.items()}


def build_clip(tensors: Tensors, *, where: str, config: Path | None = None) -> nn.Module:
    """Build CLIP's text tower as Stable Diffusion 1 checkpoints keep it (FrozenCLIPEmbedder).

    Its sizes are those of its tensors. Without a config its heads are 64 wide and its special
    tokens the last two, as in every released CLIP.

    Args:
        tensors: keys from `transformer.` on.
        where: said in messages.
        config: see `find_text_config`.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    table = tensors.get("transformer.text_model.embeddings.token_embedding.weight")
    places = tensors.get("transformer.text_model.embeddings.position_embedding.weight")
    if table is None or places is None:
        raise InputError(
            f"{where}: the checkpoint holds no CLIP text encoder under cond_stage_model"
        )
    layer = "transformer.text_model.encoder.layers."
    layers = {k[len(layer) :].split(".")[0] for k in tensors if k.startswith(layer)}
    width, words = int(table.shape[1]), int(table.shape[0])
    sizes = {
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": int(tensors[f"{layer}0.mlp.fc1.weight"].shape[0]),
        "num_hidden_layers": len(layers),
        "max_position_embeddings": int(places.shape[0]),
    }
    rules: dict[str, object] = {
        "hidden_act": "quick_gelu",
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "pad_token_id": words - 1,
    }
    if config is None:
        rules["num_attention_heads"] = heads_of(width, where=where)
    else:
        rules |= read_clip_config(config, sizes)
    with torch.device("meta"):
        network: nn.Module = CLIPTextModel(CLIPTextConfig(**sizes, **rules))
    root = "transformer.text_model"
    parts = ("embeddings", "encoder", "final_layer_norm")
    sources = {part: Source(f"{root}.{part}") for part in parts} | {"text_model": Source(root)}
    fill(network, tensors, sources, where=where, ignore=lambda k: k.endswith("position_ids"))
    place_positions(network)
    return network.eval().requires_grad_(False)


def place_positions(network: nn.Module) -> None:
    """Count the positions of a tower that was built on the meta device; they are no weight."""
    for module in network.modules():
        found = module._buffers.get("position_ids")
        if found is not None:
            module._buffers["position_ids"] = torch.arange(found.shape[-1])[None]
