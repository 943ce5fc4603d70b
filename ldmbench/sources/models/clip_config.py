"""Config files of text towers beside a checkpoint: what tensors alone do not say of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.registry import nearest
from ldmbench.sources.models.compvis_config import params_of
from ldmbench.sources.models.places import read_json

__all__ = [
    "CLIPS",
    "OPEN_BLOCKS",
    "blocks_of",
    "blocks_taken",
    "find_text_config",
    "heads_of",
    "read_clip_config",
    "read_open_clip_config",
]

CLIPS = {"FrozenCLIPEmbedder": "version", "FrozenOpenCLIPEmbedder": "arch"}
"""Cond stages with a CLIP -> the parameter that may name its config."""
_KINDS = ("clip", "clip_text_model")
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")
_HEAD = 64
OPEN_BLOCKS = "model.transformer.resblocks."
_TOWERS = {"ViT-H-": 24, "ViT-g-": 24, "ViT-bigG-": 32, "ViT-L-": 12, "ViT-B-": 12}
"""Architectures of open_clip -> the blocks of their text towers."""
_OPEN_CLIP = {  # its names and defaults of what transformers calls otherwise
    "context_length": ("max_position_embeddings", 77),
    "layers": ("num_hidden_layers", 12),
    "vocab_size": ("vocab_size", 49408),
    "width": ("hidden_size", 512),
}
_OTHER_TOWERS = (
    "act_kwargs", "block_type", "embed_cls", "hf_model_name", "ls_init_value", "no_causal_mask",
    "norm_kwargs", "qk_norm", "scale_attn", "scale_attn_inner", "scale_fc", "scale_heads",
    "scaled_cosine_attn",
)  # fmt: skip


def find_text_config(section: object, checkpoint: Path) -> Path | None:
    """Return the file that says how the text tower of a cond stage is built, or None.

    Of CLIP it is the config.json of the folder that `version` names (absolute, or relative to the
    checkpoint's folder), else that of `text_encoder/` or `tokenizer/` beside the checkpoint; of
    OpenCLIP the JSON file that `arch` names likewise, with or without its suffix.

    Args:
        section: cond_stage_config of the model.
        checkpoint: the weights file.
    """
    target = section.get("target") if isinstance(section, Mapping) else None
    name = target.rpartition(".")[2] if isinstance(target, str) else ""
    own, beside = params_of(section), checkpoint.parent
    field = CLIPS.get(name)
    if field is None:
        return None
    stated = own.get(field)
    named = [stated] if stated and isinstance(stated, str) else []
    if field == "version":
        folders = (*named, "text_encoder", "tokenizer")
        places = [beside / folder / "config.json" for folder in folders]
    else:
        places = [beside / file for name in named for file in (name, f"{name}.json")]
    return next((place for place in places if _is_file(place)), None)


def read_clip_config(place: Path, sizes: Mapping[str, int]) -> dict[str, object]:
    """Return what a CLIPTextConfig, or the text part of a CLIPConfig, adds to a tower's sizes.

    Args:
        place: its config.json; what it leaves out has transformers' default.
        sizes: fields of CLIPTextConfig as the checkpoint's tensors have them.

    Returns:
        Fields of CLIPTextConfig: heads, activation, epsilon, and the special tokens it names.

    Raises:
        InputError: it is another model's, its sizes are not the tensors', or a value cannot be.
    """
    from transformers import CLIPTextConfig
    from transformers.activations import ACT2FN

    content, default = read_json(place), CLIPTextConfig()
    kind = content.get("model_type", _KINDS[0])
    stated = content.get("text_config", content)
    if kind not in _KINDS:
        raise InputError(f"{place} is the config of '{_short(kind)}'; allowed are a CLIP's own")
    if not isinstance(stated, Mapping):
        raise InputError(f"{place}: text_config is {_short(stated)}; allowed is a mapping")
    wanted = {name: stated.get(name, getattr(default, name)) for name in sizes}
    _check_sizes(place, wanted, sizes)
    act = stated.get("hidden_act", default.hidden_act)
    if not isinstance(act, str) or act not in ACT2FN:
        raise InputError(
            f"{place}: hidden_act is '{_short(act)}'{nearest(str(act), ACT2FN)}; allowed are "
            "quick_gelu, gelu and transformers' others"
        )
    heads = stated.get("num_attention_heads", default.num_attention_heads)
    _check_heads(place, "num_attention_heads", heads, sizes["hidden_size"])
    tokens = {name: stated[name] for name in _TOKENS if stated.get(name) is not None}
    for name, token in tokens.items():
        if not _is_whole(token) or not 0 <= token < sizes["vocab_size"]:
            raise InputError(
                f"{place}: {name} is {_short(token)}; allowed are the tokens 0 to "
                f"{sizes['vocab_size'] - 1}"
            )
    epsilon = stated.get("layer_norm_eps", default.layer_norm_eps)
    if not isinstance(epsilon, float | int) or not 0 < epsilon < 1:
        raise InputError(
            f"{place}: layer_norm_eps is {_short(epsilon)}; allowed are numbers between 0 and 1"
        )
    made = {"num_attention_heads": heads, "hidden_act": act, "layer_norm_eps": epsilon}
    return made | tokens


def read_open_clip_config(place: Path, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return what a model config of open_clip adds to the sizes of a text tower.

    Args:
        place: its JSON file, with text_cfg at the top or under model_cfg.
        sizes: of the whole tower, as in `read_clip_config`.

    Returns:
        Fields of CLIPTextConfig: heads and activation.

    Raises:
        InputError: it has no text_cfg, asks for another kind of tower, or its sizes are not the
            tensors'.
    """
    content = read_json(place)
    model = content.get("model_cfg", content)
    stated = model.get("text_cfg") if isinstance(model, Mapping) else None
    if not isinstance(stated, Mapping):
        raise InputError(f"{place} has no text_cfg; allowed is a model config of open_clip")
    other = [name for name in _OTHER_TOWERS if stated.get(name)]
    if other:
        raise InputError(
            f"{place}: text_cfg has {other[0]} = {_short(stated[other[0]])}; allowed are causal "
            "towers without it"
        )
    found = {ours: stated.get(name, default) for name, (ours, default) in _OPEN_CLIP.items()}
    _check_sizes(place, found, {name: sizes[name] for name in found})
    heads = stated.get("heads", 8)
    _check_heads(place, "heads", heads, sizes["hidden_size"])
    act = "quick_gelu" if model.get("quick_gelu") else "gelu"
    return {"num_attention_heads": heads, "hidden_act": act}


def blocks_of(
    params: Mapping[str, object], names: Iterable[str], config: Path | None, *, where: str
) -> tuple[int, int, str | None]:
    """Return how many blocks an OpenCLIP tower is held with, how many run, and what was taken.

    Stable Diffusion 2 takes the last block but one. The script by which diffusers writes such a
    checkpoint leaves out the block that never runs (and the projection): then the last is taken.

    Args:
        params: of the cond stage: layer and arch.
        names: of its tensors.
        config: open_clip's file of the tower, if there is one.
        where: said in messages.

    Raises:
        InputError: the block that `layer` names is not there.
    """
    listed = list(names)
    held = len({n[len(OPEN_BLOCKS) :].split(".")[0] for n in listed if n.startswith(OPEN_BLOCKS)})
    penultimate = params.get("layer", "last") == "penultimate"
    exported = not {"model.text_projection", "model.logit_scale"} & set(listed)
    whole = _blocks_known(params, config)
    cut = held == whole - 1 if held in (whole, whole - 1) else exported and penultimate
    if not cut:
        return held, held - penultimate, None
    if not penultimate:
        raise InputError(
            f"{where}: the text encoder holds {held} of {whole} blocks and layer 'last' names the"
            " one that is missing; write layer: penultimate, if the model was trained so"
        )
    why = (
        f"the text encoder has {held} blocks, without the one after the penultimate, which Stable"
        " Diffusion 2 never runs (diffusers' script leaves it out): the last of them was taken"
    )
    return held, held, why


def blocks_taken(params: Mapping[str, object], names: Iterable[str], path: Path) -> tuple[str, ...]:
    """Return what was taken of an OpenCLIP tower that lacks its last block; a sentence, or nothing.

    Args:
        params: of the model.
        names: of the checkpoint's tensors.
        path: the checkpoint.
    """
    section, start = params.get("cond_stage_config"), "cond_stage_model."
    target = section.get("target") if isinstance(section, Mapping) else None
    if not str(target).endswith(".FrozenOpenCLIPEmbedder"):
        return ()
    own = [n.removeprefix(start) for n in names if n.startswith(start)]
    config = find_text_config(section, path)
    where = f"{path}: cond_stage_config"
    _, _, why = blocks_of(params_of(section), own, config, where=where)
    return () if why is None else (why,)


def _blocks_known(params: Mapping[str, object], config: Path | None) -> int:
    """Return the blocks of the text tower that a cond stage names."""
    if config is not None:
        content = read_json(config)
        stated = content.get("model_cfg", content)
        text = stated.get("text_cfg") if isinstance(stated, Mapping) else None
        return int(text.get("layers", 12)) if isinstance(text, Mapping) else 0
    arch = str(params.get("arch") or "ViT-H-14")
    return next((n for name, n in _TOWERS.items() if arch.startswith(name)), 0)


def _check_sizes(place: Path, found: Mapping[str, object], sizes: Mapping[str, int]) -> None:
    """Refuse a config file whose sizes are not those of the tensors."""
    for name, size in sizes.items():
        if found[name] != size:
            raise InputError(
                f"{place}: {name} is {_short(found[name])}; allowed is {size}, as the "
                "checkpoint's tensors have it"
            )


def _check_heads(place: Path, name: str, heads: Any, width: int) -> None:
    """Refuse a number of heads that does not divide a tower's width."""
    if not _is_whole(heads) or heads < 1 or width % heads:
        raise InputError(
            f"{place}: {name} is {_short(heads)}; allowed are the divisors of the width {width}"
        )


def heads_of(width: int, *, where: str) -> int:
    """Return the heads of a tower that no config describes: 64 wide, as in every released CLIP.

    Raises:
        InputError: so many do not divide its width.
    """
    heads = max(width // _HEAD, 1)
    if width % heads:
        raise InputError(
            f"{where}: the text encoder is {width} wide, allowed are multiples of {_HEAD} unless "
            "its own config says how many heads it has"
        )
    return heads


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_file(place: Path) -> bool:
    try:
        return place.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _short(value: object) -> str:
    return " ".join(str(value).split())[:60]
