"""Checkpoints of DiT, SiT, REPA and LightningDiT by their own layouts: what they are; no torch.

Sizes are read from names and shapes; what weights do not say (whose they are, heads, path,
prediction) from `config.yaml` beside them or from the trainer's arguments in the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sample.flow import Flow
from ldmbench.sample.schedule import Schedule
from ldmbench.sources.models.compvis_config import find_config, written_config
from ldmbench.sources.models.config_values import settled
from ldmbench.sources.models.original_rules import (
    HEADS,
    SOURCES,
    Source,
    flow_of,
    real,
    schedule_of,
)
from ldmbench.sources.models.places import read_json
from ldmbench.sources.models.strangers import mentioned
from ldmbench.tensors.entries import Held, open_weights, unwrapped, without
from ldmbench.tensors.slots import Slot

__all__ = ["Original", "is_original", "read_original"]

_NAMES = ("x_embedder.proj.weight", "y_embedder.embedding_table.weight", "adaLN_modulation.1.")
"""Names that all four have, and no other family."""
_HEADS = ("x_embedder.", "t_embedder.", "y_embedder.", "pos_embed", "blocks.", "decoder_blocks.",
          "final_layer.", "feat_rope.", "projectors.")  # fmt: skip
_REPA_ARGS = ("enc_type", "proj_coeff", "encoder_depth")
_SIT_ARGS = ("path_type", "prediction")
_STATS = "latents_stats.pt"
_SHOWN = {
    "depth": "depth", "hidden_size": "width", "in_channels": "in_channels",
    "in_chans": "in_channels", "patch_size": "patch_size", "qk_norm": "qk_norm",
    "use_qknorm": "qk_norm", "use_rmsnorm": "rms", "use_rope": "rope", "use_swiglu": "swiglu",
    "wo_shift": "shifts",
}  # fmt: skip
"""Arguments of constructors -> what the weights show of them."""
_MULTIPLIER = 0.18215
"""LightningDiT's latent_multiplier where its config states none."""

Section = Mapping[str, Any]


@dataclass(frozen=True)
class Original:
    """What a checkpoint of one of the four is.

    Attributes:
        file: the checkpoint.
        source: whose it is.
        held: its tensors, under the network's names.
        network: arguments of `ModulatedTransformer2DModel`.
        null_class: the label that stands for no class, or None.
        flow: of SiT, REPA and LightningDiT.
        schedule: of DiT.
        interval: times at which the source guides by default, or None.
        stage: where its first stage lies, or None.
        stage_config: of a first stage that is a checkpoint.
        scale: what latents are multiplied by after their statistics.
        bias: what is added then; a number, or one for each channel.
        stats: file of mean and std of latents, or None.
        lacks: why there is no first stage, in words.
        config: as it is written; empty where there is none.
        config_file: where that is, or None.
        assumed: what no file states, and what was taken; a sentence each.
    """

    file: Path
    source: Source
    held: Held
    network: dict[str, Any]
    null_class: int | None
    flow: Flow | None = None
    schedule: Schedule | None = None
    interval: tuple[float, float] | None = None
    stage: Path | str | None = None
    stage_config: Path | None = None
    scale: float | tuple[float, ...] = 1.0
    bias: float | tuple[float, ...] = 0.0
    stats: Path | None = None
    lacks: str = ""
    config: Section = field(default_factory=dict)
    config_file: Path | None = None
    assumed: tuple[str, ...] = ()

    @property
    def learned(self) -> bool:
        """Tell whether the network returns a second half of channels."""
        return bool(self.network["out_channels"] == 2 * self.network["in_channels"])


def is_original(file: Path) -> bool:
    """Tell whether a checkpoint is one of the four, by the names of its tensors."""
    return mentioned(file, _NAMES) == frozenset(_NAMES)


def read_original(
    file: Path,
    *,
    config: Path | str | Mapping[str, object] | None = None,
    ema: bool = True,
    ignore: Sequence[str] = (),
) -> Original:
    """Read what a checkpoint, its arguments and the config beside it say.

    Args:
        file: the checkpoint.
        config: its YAML file or content; None looks beside it, and there may be none.
        ema: take averaged weights where the checkpoint has them.
        ignore: patterns of tensors' names to leave out, beside `projectors.*`.

    Raises:
        InputError: what weights do not say is nowhere stated, or the statements contradict each
            other.
    """
    place = Path(config) if isinstance(config, Path | str) else find_config(file)
    where = str(place or file)
    content = {} if config is None and place is None else written_config(config, file)
    content = settled(content, where)
    held = unwrapped(open_weights(file, ema=ema), _HEADS, ema=ema)
    has_projectors = any(n.startswith("projectors.") for n in held.slots)
    held = _in_one_row(without(held, (*ignore, "projectors.*")))
    source = _source(content, held, has_projectors, file)
    network, assumed = _network(content, held, file)
    classes, null = _classes(content, held, file)
    base = Path(where).parent
    found = Original(
        file=file,
        source=source,
        held=held,
        network=network | {"num_embeds_ada_norm": classes},
        null_class=null,
        config=content,
        config_file=None if isinstance(config, Mapping) else place,
        assumed=assumed,
    )
    return _with_stage(_with_process(found, where), base)


def _in_one_row(held: Held) -> Held:
    """Give late blocks of old REPA files their place after the others."""
    own = {n.split(".")[1] for n in held.slots if n.startswith("blocks.")}

    def named(name: str) -> str:
        if not name.startswith("decoder_blocks."):
            return name
        _, place, rest = name.split(".", 2)
        return f"blocks.{int(place) + len(own)}.{rest}"

    return replace(held, slots={named(n): s for n, s in held.slots.items()})


# ---------------------------------------------------------------- whose it is


def _source(content: Section, held: Held, projectors: bool, file: Path) -> Source:
    """Return whose a checkpoint is, as all that say so agree; else refuse it."""
    said: dict[str, str] = {}
    if (named := _by_config(content, file)) is not None:
        said["its config"] = named
    if (named := _by_args(held.args)) is not None:
        said["its arguments"] = named
    if projectors:
        said["its projectors"] = "repa"
    if any(".mlp.w12." in n or n.startswith("feat_rope.") for n in held.slots):
        said["its layers"] = "lightningdit"
    names = sorted(set(said.values()))
    if len(names) == 1:
        return SOURCES[names[0]]
    if not names:
        targets = ", ".join(f"{s.target} ({s.about})" for s in SOURCES.values())
        raise InputError(
            f"{file} is a DiT, SiT, REPA or LightningDiT, whose weights have the same names; time"
            " and sign differ, so write whose it is into config.yaml beside it, as `model:"
            f" {{target: TARGET}}`; TARGET is one of {targets}"
        )
    parts = ", ".join(f"{what} say {SOURCES[name].about}" for what, name in said.items())
    raise InputError(f"{file}: {parts}; they do not belong together")


def _by_config(content: Section, file: Path) -> str | None:
    model = _section(content, "model")
    target, kind = str(model.get("target", "")), str(model.get("model_type", ""))
    if kind.startswith("LightningDiT"):
        return "lightningdit"
    if not target:
        return None
    for source in SOURCES.values():
        if target == source.target:
            return source.name
    last = target.lower()
    ends = {s.target.lower(): s.name for s in SOURCES.values()}
    found = next((name for end, name in ends.items() if last.endswith("." + end)), None)
    if found is None:
        targets = ", ".join(s.target for s in SOURCES.values())
        raise InputError(f"{file}: model.target of its config is '{target}'; allowed are {targets}")
    return found


def _by_args(args: Section) -> str | None:
    model = str(args.get("model", ""))
    if any(name in args for name in _REPA_ARGS):
        return "repa"
    if model.startswith("DiT") and not any(name in args for name in _SIT_ARGS):
        return "dit"
    return "sit" if model.startswith("SiT") and set(_SIT_ARGS) <= set(args) else None


# ---------------------------------------------------------------- the network


def _network(content: Section, held: Held, file: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the network's arguments, and what was assumed of them."""
    slots = held.slots
    width, channels, patch, _ = _shape(slots, "x_embedder.proj.weight", 4, file)
    places = _shape(slots, "pos_embed", 3, file)[1]
    side = math.isqrt(places)
    if side * side != places:
        raise InputError(f"{file}: pos_embed has {places} places, which is no square")
    depth = len({n.split(".")[1] for n in slots if n.startswith("blocks.")})
    swiglu = "blocks.0.mlp.w12.weight" in slots
    hidden = _shape(slots, f"blocks.0.mlp.{'w3' if swiglu else 'fc2'}.weight", 2, file)[1]
    heads, assumed = _heads(content, held, depth, width, file)
    found = {
        "sample_size": side * patch,
        "in_channels": channels,
        "out_channels": _shape(slots, "final_layer.linear.weight", 2, file)[0] // patch**2,
        "patch_size": patch,
        "width": width,
        "depth": depth,
        "num_heads": heads,
        "hidden": hidden,
        "frequencies": _shape(slots, "t_embedder.mlp.0.weight", 2, file)[1],
        "table": _shape(slots, "y_embedder.embedding_table.weight", 2, file)[0],
        "swiglu": swiglu,
        "rms": "final_layer.norm_final.weight" in slots,
        "qk_norm": "blocks.0.attn.q_norm.weight" in slots,
        "rope": "feat_rope.freqs_cos" in slots,
        "shifts": _shape(slots, "blocks.0.adaLN_modulation.1.weight", 2, file)[0] == 6 * width,
    }
    _check_shown(content, found, file)
    return found, assumed


def _check_shown(content: Section, network: Mapping[str, Any], file: Path) -> None:
    """Refuse a config that says of the network what its weights contradict.

    What the weights do not show (heads, path, prediction, scale) would then be another model's.
    """
    for name, field_ in _SHOWN.items():
        stated = _stated(content, name)
        shown = not network["shifts"] if name == "wo_shift" else network[field_]
        if stated is not None and stated != shown:
            raise InputError(
                f"{file}: its config has {name} = {stated}, but its weights show {shown}; give the"
                " config that the model was trained with"
            )


def _heads(
    content: Section, held: Held, depth: int, width: int, file: Path
) -> tuple[int, tuple[str, ...]]:
    """Return the heads, which only normed or turned queries have in their shapes."""
    stated = _stated(content, "num_heads")
    head = next(
        (held.slots[n].shape[-1] for n in ("feat_rope.freqs_cos", "blocks.0.attn.q_norm.weight")
         if n in held.slots), None,
    )  # fmt: skip
    shown = width // head if head else None
    if stated is not None:
        heads = _number(stated, "num_heads", file)
        if width % heads or (shown is not None and shown != heads):
            raise InputError(
                f"{file}: num_heads is {heads}, which does not fit the width {width}"
                f"{f' and heads of {head}' if head else ''} of its weights"
            )
        return heads, ()
    if shown is not None:
        return shown, ()
    if (depth, width) in HEADS:
        heads = HEADS[depth, width]
        why = f"as the repositories have it for depth {depth} and width {width}"
        return heads, (f"{file.name} does not state num_heads: {heads} was taken, {why}",)
    raise InputError(
        f"{file} does not say how many heads its attention has, and no size of the repositories has"
        f" depth {depth} and width {width}; write `model: {{params: {{num_heads: N}}}}` into"
        " config.yaml beside it"
    )


def _classes(content: Section, held: Held, file: Path) -> tuple[int, int | None]:
    """Return the classes and the label for none, of a table that has one row more, or not."""
    rows = _shape(held.slots, "y_embedder.embedding_table.weight", 2, file)[0]
    said = {
        "its config": _stated(content, "num_classes"),
        "data of its config": _section(content, "data").get("num_classes"),
        "its arguments": held.args.get("num_classes"),
    }
    stated = _agreed("num_classes", said, file)
    null_row = _stated(content, "class_dropout_prob") != 0
    classes = rows - null_row if stated is None else _number(stated, "num_classes", file)
    if rows not in (classes, classes + 1):
        raise InputError(
            f"{file}: num_classes is {classes}, but its table of classes has {rows} rows; needed"
            f" are {classes + 1}, or {classes} without a null class"
        )
    return classes, classes if rows == classes + 1 else None


# ---------------------------------------------------------------- process and first stage


def _agreed(name: str, said: Mapping[str, object], file: Path) -> Any:
    """Return what several places state of one fact, None where none does.

    Raises:
        InputError: they state it unlike each other.
    """
    stated = {where: value for where, value in said.items() if value is not None}
    if len({str(value).lower() for value in stated.values()}) > 1:
        told = ", ".join(f"{where} {value}" for where, value in stated.items())
        raise InputError(
            f"{file}: {name} is stated unlike each other: {told}; write the one that the model was"
            " trained with"
        )
    return next(iter(stated.values()), None)


def _with_process(found: Original, where: str) -> Original:
    """Add the diffusion or flow; where it is stated, the source's guidance interval too."""
    content, args = found.config, found.held.args
    if found.source.name == "dit":
        section = dict(_section(content, "diffusion"))
        return replace(found, schedule=schedule_of(found.learned, section, where))
    transport, params = (
        _section(content, "transport"),
        _section(_section(content, "model"), "params"),
    )
    sample = dict(_section(content, "sample"))
    path, prediction = (
        _agreed(
            name,
            {
                "transport of its config": transport.get(name),
                "model.params of its config": params.get(name),
                "its arguments": args.get(name),
            },
            found.file,
        )
        for name in ("path_type", "prediction")
    )
    if found.source.name == "repa" and prediction is None:
        prediction = "v"  # the repository has no other
    flow = flow_of(found.source.name, path, prediction, sample, where)
    _check_sampling(transport, sample, where, exact=flow.margins == (0.0, 0.0))
    start = real(sample.get("cfg_interval_start") or 0, "sample.cfg_interval_start", where)
    if not 0 <= start < 1:
        raise InputError(f"{where}: sample.cfg_interval_start is {start:g}; allowed is 0 up to 1")
    return replace(found, flow=flow, interval=(start, 1.0) if start else None)


def _check_sampling(transport: Section, sample: Section, where: str, *, exact: bool) -> None:
    """Refuse what the source would integrate otherwise.

    Args:
        transport: of the config.
        sample: of the config.
        where: said in messages.
        exact: whether its time has no margins, so that the source ignores others.
    """
    for name in () if exact else ("sample_eps", "train_eps"):
        if transport.get(name) is not None:
            raise InputError(
                f"{where}: transport.{name} is {transport[name]}; allowed is null, the"
                " repository's own"
            )
    if str(sample.get("reverse", False)).lower() not in ("false", "0", "no", "none"):
        raise InputError(
            f"{where}: sample.reverse is {sample['reverse']}, which goes from data to noise; take"
            " it out"
        )


def _with_stage(found: Original, base: Path) -> Original:
    """Add where the first stage lies, and what its latents are multiplied by."""
    if found.source.name == "lightningdit":
        return _with_tokenizer(found, base)
    section = _section(found.config, "first_stage")
    named = section.get("path")
    scale = section.get("latents_scale", section.get("scaling_factor", found.source.scale))
    lacks = (
        f"{found.file} names no first stage; write `first_stage: {{path: FOLDER}}` into config.yaml"
        f" beside it, such as that of stabilityai/sd-vae-ft-ema, which {found.source.about} uses"
    )
    stage = None if named is None else _place(str(named), base)
    channels = int(found.network["in_channels"])
    bias = section.get("latents_bias", 0.0)
    return replace(
        found,
        stage=stage,
        scale=_scale(scale, "scaling_factor", channels, found.file),
        bias=_numbers(bias, "latents_bias", found.file, channels),
        lacks="" if named is not None else lacks,
        assumed=(*found.assumed, *_scaled_otherwise(stage, section, found)),
    )


def _scaled_otherwise(stage: Path | str | None, section: Section, found: Original) -> Iterator[str]:
    """Yield that the source's own scale is taken where the first stage's config has another."""
    place = stage / "config.json" if isinstance(stage, Path) else None
    if place is None or not place.is_file():
        return
    if "latents_scale" in section or "scaling_factor" in section:
        return
    stated = read_json(place).get("scaling_factor")
    if stated not in (None, found.source.scale):
        yield (
            f"{place.parent.name}/config.json states scaling_factor {stated}, which"
            f" {found.source.about} does not read: {found.source.scale} was taken, as it has it"
        )


def _with_tokenizer(found: Original, base: Path) -> Original:
    vae, data = _section(found.config, "vae"), _section(found.config, "data")
    checkpoint, config = vae.get("ckpt_path"), vae.get("config")
    stats, assumed, norm = None, list(found.assumed), data.get("latent_norm")
    if norm is None and any((p / _STATS).is_file() for p in (base, found.file.parent)):
        raise InputError(
            f"{found.file}: its config does not state data.latent_norm, and {_STATS} lies beside"
            " it; write latent_norm: true where the model was trained on normalised latents, else"
            " false"
        )
    for name, section, value in (
        ("data.latent_norm", data, False),
        ("data.latent_multiplier", data, _MULTIPLIER),
        ("sample.timestep_shift", _section(found.config, "sample"), 0),
    ):
        if section.get(name.partition(".")[2]) is None:
            why = "the default of hustvl/LightningDiT"
            assumed.append(f"the config does not state {name}: {value} was taken, {why}")
    if norm:
        places = [base / str(data.get("data_path", ".")) / _STATS, base / _STATS,
                  found.file.parent / _STATS]  # fmt: skip
        stats = next((p for p in places if p.is_file()), None)
        if stats is None:
            raise InputError(
                f"{found.file} is trained on latents that are normalised by {_STATS}, which is not"
                f" there (looked in {', '.join(dict.fromkeys(str(p.parent) for p in places))})"
            )
    lacks = (
        f"{found.file} has no tokenizer: its config names no vae.ckpt_path and vae.config"
        f"{_called(vae.get('model_name'))}; write them into it"
    )
    known = checkpoint is not None and config is not None
    multiplier = _MULTIPLIER if data.get("latent_multiplier") is None else data["latent_multiplier"]
    return replace(
        found,
        stage=_place(str(checkpoint), base) if known else None,
        stage_config=base / str(config) if known else None,
        scale=_scale(multiplier, "latent_multiplier", 1, found.file),
        stats=stats,
        assumed=tuple(assumed),
        lacks="" if known else lacks,
    )


def _called(name: object) -> str:
    return f" (it is {name})" if name else ""


def _place(named: str, base: Path) -> Path | str:
    """Return a path from the config's folder, or, where nothing lies there, a hub id as it is."""
    place = base / named
    return place if place.exists() or named.startswith((".", "/")) else named


# ---------------------------------------------------------------- values


def _section(content: Section, name: str) -> Section:
    found = content.get(name)
    return found if isinstance(found, Mapping) else {}


def _stated(content: Section, name: str) -> Any:
    """Return a constructor's argument, in `model.params` or, where LightningDiT has it, `model`."""
    model = _section(content, "model")
    return _section(model, "params").get(name, model.get(name))


def _number(value: object, name: str, file: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{file}: {name} is {value!r}; allowed is a whole number from 1")
    return value


def _scale(value: Any, name: str, channels: int, file: Path) -> float | tuple[float, ...]:
    """Return what latents are multiplied by, as `_numbers`; 0 would leave nothing of them."""
    found = _numbers(value, name, file, channels)
    if 0 in (found if isinstance(found, tuple) else (found,)):
        raise InputError(f"{file}: {name} is {value!r}; allowed are numbers other than 0")
    return found


def _numbers(value: Any, name: str, file: Path, channels: int) -> float | tuple[float, ...]:
    """Return a number; of one for each channel that number, where all are equal."""
    if isinstance(value, list | tuple) and len(value) != channels:
        raise InputError(
            f"{file}: {name} has {len(value)} numbers; needed are {channels}, one for each channel"
        )
    listed = list(value) if isinstance(value, list | tuple) else [value]
    right = all(isinstance(v, int | float) and not isinstance(v, bool) for v in listed)
    if not right or not listed or not all(math.isfinite(v) for v in listed):
        raise InputError(f"{file}: {name} is {value!r}; allowed is a number, or one a channel")
    if len(set(listed)) == 1:
        return float(listed[0])
    return tuple(float(v) for v in listed)


def _shape(slots: Mapping[str, Slot], name: str, sides: int, file: Path) -> tuple[int, ...]:
    if name not in slots or len(slots[name].shape) != sides:
        found = f"of shape {slots[name].shape}" if name in slots else "not there"
        raise InputError(f"{file}: {name} is {found}; needed is a tensor of {sides} dimensions")
    return slots[name].shape
