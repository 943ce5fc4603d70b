"""Which tensors of a checkpoint file a model is made of, by its config; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sources.models.adm_config import is_adm
from ldmbench.sources.models.compvis_config import class_of
from ldmbench.sources.models.places import is_ema_file
from ldmbench.tensors.entries import Held, is_average, open_weights, unwrapped, without

__all__ = ["look", "marked"]

_STAGES = ("encoder.", "decoder.", "quant_conv.", "quantize.", "post_quant_conv.")
_INNER = "first_stage_model."
_PARTS = ("model.diffusion_model.", "model_ema.", "first_stage_model.", "cond_stage_model.")
_UNET = ("time_embed.", "input_blocks.", "label_emb.", "middle_block.", "output_blocks.", "out.")
_UNTRAINED = ("colorize", "loss.", "quantize.embed_prob", "quantize.used")
_COUNTERS = frozenset({"decay", "num_updates"})
_CLIP = "cond_stage_model.transformer."
_CLIP_PARTS = ("embeddings.", "encoder.", "final_layer_norm.")


def look(
    path: Path, config: Mapping[str, object], *, ema: bool = True, ignore: Sequence[str] = ()
) -> Held:
    """Return the tensors that a model is made of, under the names that its trainer gave them.

    Args:
        path: the checkpoint.
        config: as `read_config` returns it.
        ema: take the averaged weights where the checkpoint has them.
        ignore: patterns of names to leave out.

    Raises:
        InputError: see `open_weights`; or averages that are not those of the model.
    """
    held = open_weights(path, ema=ema)
    held = replace(held, averaged=held.averaged or _by_name(held, ema))
    if is_adm(config):
        return without(unwrapped(held, _UNET, ema=ema), ignore)
    named = class_of(config.get("model") or "", where=f"section 'model' of the config of {path}")
    is_stage = "AutoencoderKL" in named or "VQModel" in named
    heads = (*_STAGES, _INNER) if is_stage else _PARTS
    found = without(unwrapped(held, heads, ema=ema), ignore)
    found = _stage_alone(found) if is_stage else found
    found = replace(found, whole=found.averaged)
    return _averaged(_with_clip_names(found), "" if is_stage else "model.", ema=ema)


def _stage_alone(held: Held) -> Held:
    """Take the first stage out of a whole model, where the config is of the first stage alone."""
    inner = {n.removeprefix(_INNER): s for n, s in held.slots.items() if n.startswith(_INNER)}
    others = len(held.slots) - len(inner)
    if not inner:
        return held
    said = (f"parts of a whole model ({others})",) if others else ()
    return replace(held, slots=inner, left_out=(*held.left_out, *said))


def _by_name(held: Held, ema: bool) -> bool:
    """Tell whether the file's name says that its weights are averages; names in it say it better.

    Raises:
        InputError: they are, and raw ones are wanted.
    """
    parts = {name.partition(".")[0] for name in (*held.beside, *held.slots)}
    if not is_ema_file(held.path) or any(map(is_average, parts)):
        return False
    if not ema:
        raise InputError(
            f"{held.path} holds averaged weights alone, as its name says, and `ema: false` asks for"
            " raw ones; take it out, or give the path of the raw ones"
        )
    return True


def marked(params: Mapping[str, object], held: Held) -> dict[str, Any]:
    """Return a model's params with what the weights themselves say of the prediction.

    Stable Diffusion's trainers mark weights that predict v, or were trained on a schedule whose
    last step holds no signal; their configs often do not say it.
    """
    found = dict(params)
    if "v_pred" in held.marks:
        found["parameterization"] = "v"
    if "ztsnr" in held.marks:
        found["rescale_betas_zero_snr"] = True
    return found


def _averaged(held: Held, prefix: str, *, ema: bool) -> Held:
    """Put the averages that LDMs keep as buffers in the place of the raw weights.

    The original's averages are buffers, whose names have no dots; the raw weights say where the
    dots were. Buffers and losses have no averages.

    Args:
        held: the whole checkpoint.
        prefix: where the averaged module is: "model." or, for a first stage, "".
        ema: whether they are wanted.

    Raises:
        InputError: some averages are missing or left over.
    """
    start = "model_ema."
    kept = {n.removeprefix(start): s for n, s in held.slots.items() if n.startswith(start)}
    rest = {n: s for n, s in held.slots.items() if not n.startswith(start)}
    if not (kept and ema):
        return replace(held, slots=rest)
    flat = {n: n[len(prefix) :].replace(".", "") for n in rest if n.startswith(prefix)}
    untrained = tuple(prefix + name for name in _UNTRAINED)
    lacking = [n for n, short in flat.items() if short not in kept and not n.startswith(untrained)]
    left = sorted(set(kept) - set(flat.values()) - _COUNTERS)
    if lacking or left:
        first = (lacking or left)[0]
        raise InputError(
            f"{held.path}: the averaged weights are not those of the model: {len(lacking)} missing,"
            f" {len(left)} not asked for ({first}, ...); `ema: false` takes the raw ones"
        )
    means = {n: kept[short] for n, short in flat.items() if short in kept}
    entry = ".".join(part for part in (held.entry, "model_ema") if part)
    return replace(held, slots=rest | means, entry=entry, averaged=True)


def _with_clip_names(held: Held) -> Held:
    """Give CLIP's tower its own names, of which NovelAI's checkpoints leave out one part."""

    def named(name: str) -> str:
        rest = name.removeprefix(_CLIP)
        short = rest != name and rest.startswith(_CLIP_PARTS)
        return f"{_CLIP}text_model.{rest}" if short else name

    return replace(held, slots={named(name): slot for name, slot in held.slots.items()})
