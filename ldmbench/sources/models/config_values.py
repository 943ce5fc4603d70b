"""Values of config files as their own readers take them: references, yes and no, numbers in quotes.

Configs of checkpoints are read by OmegaConf and argparse, which know `no` and `off`, and `${a.b}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ldmbench.errors import InputError

__all__ = ["LARGEST_NODES", "UNREAD", "resolved", "settled"]

LARGEST_NODES = 100_000
_LONGEST = 10_000
_DEEPEST = 50
_REFERENCE = re.compile(r"\$\{([^${}]*)\}")
UNREAD = ("ckpt_path", "lossconfig", "monitor", "scheduler_config")
"""Fields that nothing here reads, so that what they refer to may be missing."""
_YES = ("1", "on", "t", "true", "y", "yes")
_NO = ("0", "f", "false", "n", "no", "off")
_NOTHING = ("", "none", "null", "~")
_FLAGS = frozenset({
    "bias", "class_cond", "conv_resample", "disable_middle_self_attn", "give_pre_end",
    "latent_norm", "learn_sigma", "legacy", "predict_xstart", "rescale_betas_zero_snr",
    "rescale_timesteps", "resamp_with_conv",
    "resblock_updown", "scale_by_std", "sigma_small", "tanh_out", "use_linear_attn",
    "use_linear_in_transformer", "use_new_attention_order", "use_scale_shift_norm",
    "use_qknorm", "use_rmsnorm", "use_rope", "use_spatial_transformer", "use_swiglu",
    "use_tokenizer", "wo_shift",
})  # fmt: skip
_NUMBERS = frozenset({
    "atol", "beta_end", "beta_start", "ch", "cfg_interval_start", "class_dropout_prob",
    "latent_multiplier", "rtol", "scaling_factor", "timestep_shift", "channels", "context_dim",
    "cosine_s", "diffusion_steps", "dims", "embed_dim",
    "in_channels", "image_size", "large_size", "linear_end", "linear_start", "max_length",
    "max_seq_len", "model_channels", "multiplier", "n_classes", "n_embed", "n_layer", "n_stages",
    "num_channels", "num_classes", "num_head_channels", "num_heads", "num_heads_upsample",
    "num_res_blocks", "out_ch", "out_channels", "resolution", "scale_factor", "small_size",
    "timesteps", "transformer_depth", "v_posterior", "vocab_size", "z_channels",
})  # fmt: skip


def settled(value: object, where: str) -> Any:
    """Return a config whose flags are true or false, and whose numbers are numbers.

    Args:
        value: the config, or a part of it.
        where: said in messages.

    Raises:
        InputError: a flag that is neither.
    """
    if isinstance(value, Mapping):
        read = {str(k): _settled(str(k), v, where) for k, v in value.items()}
        return {k: v for k, v in read.items() if v is not _ABSENT}
    if isinstance(value, list | tuple):
        return [settled(v, where) for v in value]
    return value


_ABSENT = object()


def _settled(name: str, value: object, where: str) -> object:
    if name in _FLAGS and value is not None:
        return _flag(name, value, where)
    if name in _NUMBERS and isinstance(value, str):
        return _ABSENT if value.strip().lower() in _NOTHING else _number(value)
    return settled(value, where)


def _flag(name: str, value: object, where: str) -> bool:
    said = str(value).strip().lower().removesuffix(".0")
    if isinstance(value, str | int | float) and said in _YES:
        return True
    if isinstance(value, str | int | float) and said in _NO:
        return False
    raise InputError(
        f"{where}: {name} is '{str(value)[:40]}'; allowed are true and false (also yes, no, on,"
        " off, 1, 0)"
    )


def _number(value: str) -> object:
    """Return the number that a text is, else the text, which its reader refuses."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def resolved(content: Mapping[str, object], where: str) -> dict[str, object]:
    """Return a config with its references (`${a.b}`, `${.b}`) written out, as OmegaConf reads them.

    Only what describes the model is looked at; sections for data and training stay as they are.

    Args:
        content: the whole file.
        where: said in messages.

    Raises:
        InputError: a reference to nothing in the file, to a function (`${oc.env:...}`), or in a
            circle; a field that its author left to fill in (`???`).
    """
    return _Resolver(content, where).run()


class _Resolver:
    """One pass over a config."""

    def __init__(self, content: Mapping[str, object], where: str) -> None:
        self.content, self.where, self.made = content, where, 0

    def run(self) -> dict[str, Any]:
        described = ("model",) if "model" in self.content else tuple(self.content)
        return {
            str(k): self._value(v, (str(k),), 0) if k in described else v
            for k, v in self.content.items()
        }

    def _value(self, value: object, path: tuple[str, ...], depth: int) -> object:
        self.made += 1
        if self.made > LARGEST_NODES:
            raise InputError(f"{self.where} grows to more than {LARGEST_NODES:,} values")
        if isinstance(value, Mapping):
            return {str(k): self._value(v, (*path, str(k)), depth) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(v, (*path, str(i)), depth) for i, v in enumerate(value)]
        if not isinstance(value, str) or not (value == "???" or "${" in value):
            return value
        if set(path) & set(UNREAD):
            return value
        if value == "???":
            raise self._refused(path, value, "its author left it to be filled in; write its value")
        return self._text(value, path, depth)

    def _text(self, text: str, path: tuple[str, ...], depth: int) -> Any:
        if depth > _DEEPEST:
            raise self._refused(path, text, "its references run in a circle, or too deep")
        while (found := _REFERENCE.search(text)) is not None:
            value = self._look(found[1].strip(), path, depth, text)
            if found[0] == text:
                return value
            if isinstance(value, Mapping | list):
                raise self._refused(path, text, "a section cannot stand inside a text")
            text = text[: found.start()] + str(value) + text[found.end() :]
            if len(text) > _LONGEST:
                raise self._refused(path, text, "it grows too long")
        if "${" in text:
            raise self._refused(path, text, "a reference is written ${section.name}")
        return text

    def _look(self, name: str, path: tuple[str, ...], depth: int, text: str) -> object:
        if ":" in name:
            why = "only references within the file are read; write its value"
            raise self._refused(path, text, why)
        up = len(name) - len(name.lstrip("."))
        base = path[: len(path) - up] if up else ()
        steps = [*base, *re.sub(r"\[(\w+)\]", r".\1", name.lstrip(".")).split(".")]
        node: object = self.content
        for step in steps:
            if isinstance(node, Mapping) and step in node:
                node = node[step]
            elif isinstance(node, list | tuple) and step.isdecimal() and int(step) < len(node):
                node = node[int(step)]
            else:
                why = f"the file has no {'.'.join(steps)}; write its value"
                raise self._refused(path, text, why)
        return self._value(node, tuple(steps), depth + 1)

    def _refused(self, path: tuple[str, ...], text: str, why: str) -> InputError:
        return InputError(f"{self.where}: {'.'.join(path)} is '{text[:60]}': {why}")
