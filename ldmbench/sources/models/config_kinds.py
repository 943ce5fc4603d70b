"""Of what kind the values of models' configs are: checked before a reader uses them; no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ldmbench.errors import InputError
from ldmbench.sources.models.places import read_json
from ldmbench.words import first_line

__all__ = ["ADM", "COMPVIS", "Kinds", "check_kinds", "read_checked", "values_of"]

Config = TypeVar("Config", bound=Mapping[str, object])
Kinds = Mapping[str, str]
"""A field's name -> a row of _KINDS."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return _is_number(value) and float(value).is_integer()


def _is_size(value: Any) -> bool:
    return _is_whole(value) and value >= 1


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value >= 0


def _reads(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _is_pair(value: Any) -> bool:
    return _are(_is_size, value) and len(value) == 2


def _is_width(value: Any) -> bool:
    return _is_number(value) and value > 0


def _are(check: Callable[[object], bool], value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(check, value))


def _is_nested(value: object) -> bool:
    """Tell whether a value is a list of numbers, or of such lists."""
    return _are(_is_number, value) or _are(_is_nested, value)


def _is_listed(value: object) -> bool:
    """Tell whether a flag is a number, or numbers with commas between, or empty."""
    parts = value.strip("()[] ").split(",") if isinstance(value, str) else value
    return value == "" or _is_number(value) or _are(_reads, parts)


# fmt: off
_KINDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "name":    ("a name",                          lambda v: isinstance(v, str)),
    "flag":    ("true or false",                   lambda v: isinstance(v, bool)),
    "number":  ("a number",                        _is_number),
    "scale":   ("a number other than 0",           lambda v: _is_number(v) and v != 0),
    "count":   ("a whole number from 0",           _is_count),
    "size":    ("a whole number from 1",           _is_size),
    "sizes":   ("a list of whole numbers from 1",  lambda v: _are(_is_size, v)),
    "sides":   ("a whole number from 1, or two",   lambda v: _is_size(v) or _is_pair(v)),
    "either":  ("a whole number from 1, or a list",
                lambda v: _is_size(v) or _are(_is_size, v)),
    "numbers": ("a list of numbers",               lambda v: v == [] or _are(_is_number, v)),
    "nested":  ("a list of numbers, or of lists",  _is_nested),
    "widths":  ("a list of positive numbers",      lambda v: _are(_is_width, v)),
    "listed":  ("numbers with commas between",     _is_listed),
}

def _table(rows: Mapping[str, str]) -> dict[str, str]:
    return {name: kind for kind, names in rows.items() for name in names.split()}


COMPVIS: Kinds = _table({
    "number":  "cosine_s linear_end linear_start multiplier num_head_channels num_heads"
               " num_heads_upsample v_posterior",
    "scale":   "scale_factor",
    "size":    "ch channels timesteps embed_dim in_channels max_length max_seq_len"
               " model_channels n_classes n_embed n_layer out_ch out_channels resolution"
               " vocab_size z_channels",
    "sizes":   "ch_mult",
    "widths":  "channel_mult",
    "either":  "context_dim num_res_blocks transformer_depth",
    "numbers": "attn_resolutions attention_resolutions given_betas",
    "sides":   "image_size",
})
"""Fields of CompVis' configs."""

ADM: Kinds = _table({
    "number":  "num_head_channels num_heads_upsample small_size",
    "size":    "diffusion_steps image_size in_channels large_size num_channels num_classes"
               " num_heads num_res_blocks",
    "listed":  "attention_resolutions channel_mult",
})
"""Flags of guided-diffusion; null stands for what is not stated."""

_DIFFUSERS: Kinds = _table({
    "flag":    "center_input_sample clip_sample flip_sin_to_cos force_upcast invert_sigmas"
               " mid_block_add_attention predict_epsilon rescale_betas_zero_snr set_alpha_to_one"
               " shared_table skip_prk_steps stochastic_sampling thresholding upcast_attention"
               " use_beta_sigmas use_dynamic_shifting use_exponential_sigmas use_flow_sigmas"
               " use_karras_sigmas use_linear_projection use_post_quant_conv use_quant_conv",
    "number":  "batch_norm_eps beta_end beta_start clip_sample_range dynamic_thresholding_ratio"
               " norm_eps sample_max_value shift shift_factor",
    "scale":   "scale scaling_factor time_scale",
    "count":   "max_noise_level null_class prompt_pad steps_offset",
    "size":    "num_train_timesteps guided_channels norm_num_groups base_dim channels"
               " decoder_hidden_size embed_dim encoder_hidden_size"
               " encoder_input_size encoder_patch_size in_channels input_channels"
               " latent_channels max_position_embeddings n_classes num_channels"
               " num_class_embeds num_embeds_ada_norm num_vq_embeddings out_channels prompt_length"
               " small_size vocab_size vq_embed_dim z_dim",
    "sizes":   "block_out_channels decoder_block_out_channels dim_mult"
               " encoder_block_out_channels",
    "either":  "cross_attention_dim layers_per_block",
    "nested":  "latents_mean latents_std",
    "numbers": "decoder_layers_per_block encoder_layers_per_block trained_betas",
    "sides":   "patch_size sample_size",
    "name":    "act_fn beta_schedule conditioning prediction_type quantize timestep_spacing"
               " variance_type",
})
"""Fields of the JSON files of diffusers folders; null stands for what is not stated."""
# fmt: on

_NULL = frozenset({
    "attn_resolutions", "context_dim", "given_betas", "n_embed", "num_classes", "num_res_blocks",
    "transformer_depth",
})  # fmt: skip
"""Fields of CompVis that may be null."""
_STATED = ("num_vq_embeddings",)
"""Fields of diffusers that may not."""


def check_kinds(
    config: Config,
    kinds: Kinds,
    where: str,
    *,
    skip: tuple[str, ...] = (),
    stated: tuple[str, ...] = _STATED,
) -> Config:
    """Return a config after a look at all fields, at any depth, whose kind is known.

    Args:
        config: as its file has it.
        kinds: which fields there are.
        where: said in messages.
        skip: sections that nothing reads.
        stated: fields that may not be null; of COMPVIS they are all but a few.

    Raises:
        InputError: a value of the wrong kind.
    """
    for name, value in config.items():
        if name in skip:
            continue
        if value is None and (name in _NULL if kinds is COMPVIS else name not in stated):
            continue
        if name in kinds:
            _check(name, value, kinds[name], where)
        elif isinstance(value, Mapping):
            check_kinds(value, kinds, where, skip=skip, stated=stated)
    return config


def _check(name: str, value: object, kind: str, where: str) -> None:
    said, fits = _KINDS[kind]
    if not fits(value):
        raise InputError(
            f"{where} holds a value of the wrong kind: {name} is {str(value)[:40]!r}; allowed is"
            f" {said}"
        )


def read_checked(place: Path, *, stated: tuple[str, ...] = _STATED) -> dict[str, Any]:
    """Return a JSON file of a diffusers folder whose values are of their kinds.

    Args:
        place: the file.
        stated: fields that may not be null.

    Raises:
        InputError: it is missing, no JSON object, or holds a value of the wrong kind.
    """
    return check_kinds(read_json(place), _DIFFUSERS, str(place), stated=stated)


@contextmanager
def values_of(where: object) -> Iterator[None]:
    """Say of a config what arithmetic and torch say of sizes that cannot be.

    Kinds are checked before, so that an AttributeError, TypeError or LookupError is our own fault.
    """
    try:
        yield
    except InputError:
        raise
    except (ArithmeticError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{where}: a config holds a value of the wrong kind or size: {first_line(error)[:200]}"
        ) from error
