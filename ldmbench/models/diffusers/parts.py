"""The components of a diffusers folder: networks, text encoders and tokenizers, strictly filled."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ldmbench.errors import InputError
from ldmbench.models.conditions import PROMPT_LENGTH
from ldmbench.models.tokenizer_files import bert_tokenizer, clip_tokenizer, encoder_tokenizer
from ldmbench.models.weights import Source, Tensors, fill, read_weights
from ldmbench.registry import pick, resolve
from ldmbench.sources.models.diffusers_classes import DENOISERS, FIRST_STAGES, PARTS
from ldmbench.sources.models.places import part_of, read_json, weights_of

__all__ = ["FROZEN_TEXTS", "NETWORKS", "frozen_text", "load_network", "load_text", "load_tokenizer"]

FROZEN_TEXTS = ("BertModel", "T5EncoderModel")
"""Text encoders that models trained here attend to beside CLIP's."""
NETWORKS = DENOISERS | {name: row[0] for name, row in FIRST_STAGES.items()} | PARTS
_BERT = "diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion"
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


_OWN_FAULTS = (ArithmeticError, RuntimeError, ValueError)
"""What a constructor raises of sizes that cannot be."""
_FAULTS = (*_OWN_FAULTS, AttributeError, LookupError, NameError, TypeError)
"""The same of diffusers' constructors, which check no value."""


def load_network(
    folder: Path, config: Mapping[str, object] | None = None, *, ema: bool = True
) -> nn.Module:
    """Load a diffusers network: config.json and safetensors (or a safe .bin) beside it.

    Args:
        folder: where it lies.
        config: takes the place of its config.json.
        ema: whether averaged weights are wanted, where there are both.

    Raises:
        InputError: an unknown class, files missing, or keys that do not fit the config.
    """
    from accelerate import init_empty_weights

    config = dict(config or read_json(folder / "config.json"))
    cls: Any = resolve(pick(NETWORKS, str(config.get("_class_name")), f"network in {folder}:"))
    try:
        with init_empty_weights(include_buffers=False):
            network: nn.Module = cls.from_config(_asked(cls, config))
    except _FAULTS as error:
        if cls.__module__.startswith("ldmbench.") and not isinstance(error, _OWN_FAULTS):
            raise
        raise InputError(
            f"{folder}/config.json does not describe a {cls.__name__}: {error}"
        ) from error
    tensors = {_modern(k): v for k, v in _weights(folder, ema=ema).items()}
    fill(network, tensors, {}, where=str(folder))
    return network.eval().requires_grad_(False)


def _asked(cls: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Return what our own networks take; diffusers writes all fields of their bases too."""
    if not cls.__module__.startswith("ldmbench."):
        return config
    known = inspect.signature(cls.__init__).parameters
    return {k: v for k, v in config.items() if k in known or k.startswith("_")}


def load_text(folder: Path) -> nn.Module:
    """Load a text encoder: LDM's BERT, CLIP's text tower, T5's encoder or BERT."""
    config = read_json(folder / "config.json")
    kind = (config.get("architectures") or [config.get("model_type")])[0]
    if kind in FROZEN_TEXTS:
        return frozen_text(folder, kind)
    if kind in ("LDMBertModel", "ldmbert"):
        made = resolve(f"{_BERT}:LDMBertConfig"), resolve(f"{_BERT}:LDMBertModel")
        root: tuple[str, ...] = ()
    elif kind in ("CLIPTextModel", "clip_text_model"):
        made = resolve("transformers:CLIPTextConfig"), resolve("transformers:CLIPTextModel")
        root = ("embeddings", "encoder", "final_layer_norm")
    else:
        raise InputError(
            f"{folder} holds a '{kind}'; text encoders are LDMBertModel and CLIPTextModel"
        )
    return _fill_text(folder, config, made, root)


def frozen_text(folder: Path, kind: str) -> nn.Module:
    """Load a text encoder by its class of transformers, from safetensors alone."""
    cls: Any = resolve(f"transformers:{kind}")
    try:
        network: nn.Module = cls.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype="float32"
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} does not hold a {kind} in safetensors: {error}") from error
    return network.eval().requires_grad_(False)


def _fill_text(
    folder: Path, config: dict[str, Any], made: tuple[Any, Any], root: tuple[str, ...]
) -> nn.Module:
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        network: nn.Module = made[1](made[0](**config))
    tensors = _weights(folder)
    sources = {}
    if root and any(k.startswith("text_model.") for k in tensors):
        sources = {part: Source(f"text_model.{part}") for part in root}
        sources["text_model"] = Source("text_model")
    fill(network, tensors, sources, where=str(folder), ignore=_no_weight)
    return network.eval().requires_grad_(False)


def load_tokenizer(
    folder: Path, *, given: Any, text: str, encoder: Any
) -> tuple[Callable[[], Any], int]:
    """Return a finder of the tokenizer, and the length that prompts are padded to."""
    config = encoder.config
    places = int(getattr(config, "max_position_embeddings", None) or PROMPT_LENGTH)
    if type(encoder).__name__ in FROZEN_TEXTS:
        return lambda: encoder_tokenizer(folder / "tokenizer"), places
    if text == "bert":
        return bert_tokenizer(given, beside=folder), min(places, PROMPT_LENGTH)
    finder = clip_tokenizer(given, beside=folder)
    settings = part_of(folder, "tokenizer") / "tokenizer_config.json"
    stated = (
        json.loads(settings.read_text("utf-8")).get("model_max_length")
        if settings.exists()
        else None
    )
    return finder, min(int(stated or places), places)


def _weights(folder: Path, *, ema: bool = True) -> Tensors:
    """Read all tensors of a component, sharded or not."""
    files = weights_of(folder, ema=ema)
    return {k: v for file in files for k, v in read_weights(file, ema=ema).items()}


def _modern(name: str) -> str:
    """Rename the attention of folders that old versions wrote (query, key, value, proj_attn)."""
    found = re.fullmatch(r"(.*attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)", name)
    return f"{found[1]}.{_OLD_ATTENTION[found[2]]}.{found[3]}" if found else name


def _no_weight(name: str) -> bool:
    return name.endswith("position_ids")
