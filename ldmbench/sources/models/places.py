"""What lies where a path points: diffusers folders, checkpoints, their digests; no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError

__all__ = [
    "SUFFIXES",
    "UNSIZED",
    "checkpoint_in",
    "component",
    "is_averaged",
    "is_ema_file",
    "is_folder",
    "is_hub_id",
    "is_of_checkpoint",
    "is_training_file",
    "part_of",
    "read_json",
    "shards_of",
    "weights_in",
    "weights_of",
]

SUFFIXES = (".ckpt", ".safetensors", ".pt", ".pth", ".bin")
"""By which checkpoint files are known."""
UNSIZED = 64
"""The side of latents whose UNet states no sample_size, as Stable Diffusion's pipelines take it."""
_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_VARIANTS = ("", ".fp32", ".fp16", ".bf16")
_STATES = (
    r"(opt|optim|optimizer|optim_states|optimizer_states?|sched|scheduler|lr_scheduler|scaler|"
    r"random_states?|rng_state|train_state|trainer_state|training_args|training_state)"
)
_TRAINING = re.compile(rf"{_STATES}[\W\d_]|.*[\W\d_]{_STATES}[\W\d_]*\.\w+$")
_CHECKPOINTS_CONFIG = ("image_size", "large_size", "model", "num_channels")
_EMA_STEMS = ("model_ema", "ema_model", "ema")
_BESIDE = ("latents_stats.pt",)
"""Files of tensors that describe latents, and are no model."""
_LISTED = 12


def is_folder(path: Path) -> bool:
    """Say whether a folder is diffusers': a pipeline, or a network with its config.json."""
    if (path / "model_index.json").is_file():
        return True
    config = path / "config.json"
    return config.is_file() and not is_of_checkpoint(config)


def is_of_checkpoint(place: Path) -> bool:
    """Say whether a config.json describes a checkpoint (flags, or CompVis' sections)."""
    try:
        content = read_json(place)
    except InputError:
        return False
    foreign = any(name in content for name in ("_class_name", "architectures", "model_type"))
    return not foreign and any(name in content for name in _CHECKPOINTS_CONFIG)


def is_hub_id(name: str) -> bool:
    """Say whether a name looks like owner/name on the hub."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name) is not None


def checkpoint_in(folder: Path, *, ema: bool = True) -> Path:
    """Return the checkpoint of a folder: model.* or last.*, else the only one.

    Files of optimizers and of random states are none. guided-diffusion writes averaged and raw
    weights of a step into two files; `ema` says which is meant.

    Raises:
        InputError: there is none, or there are several; the message has their names.
    """
    found = [p for p in sorted(folder.iterdir()) if p.suffix in SUFFIXES and p.is_file()]
    found = [p for p in found if not is_training_file(p.name) and p.name not in _BESIDE]
    if not found:
        raise InputError(
            f"{folder} holds no model_index.json, no config.json of an autoencoder and no "
            f"checkpoint ({', '.join(SUFFIXES)})"
        )
    stems = (*(_EMA_STEMS if ema else ()), "model", "last")
    named = [folder / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES]
    chosen = next((p for p in named if p in found), None)
    if chosen is not None:
        return chosen
    if all(is_ema_file(p) or re.fullmatch(r"model\d+", p.stem) for p in found):
        found = [p for p in found if is_ema_file(p) == ema] or found
    if len(found) > 1:
        names = ", ".join(p.name for p in found[:_LISTED])
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise InputError(
            f"{folder} holds {len(found)} checkpoints ({names}{more}); give the path of the one "
            f"that is meant, such as {found[-1]}"
        )
    return found[0]


def is_training_file(name: str) -> bool:
    """Tell whether a file is one that trainers write beside a checkpoint: an optimizer's, ..."""
    return _TRAINING.match(name) is not None


def is_ema_file(file: Path) -> bool:
    """Tell whether a file holds averaged weights by its name: ema_RATE_STEP.pt, model_ema.pt."""
    return file.stem in _EMA_STEMS or re.fullmatch(r"ema_\d[\d.]*_\d+", file.stem) is not None


def component(index: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    """Return the first of some components that a model_index.json has."""
    for name in names:
        entry = index.get(name)
        if isinstance(entry, list | tuple) and len(entry) == 2 and entry[1] is not None:
            return name
    return None


def part_of(folder: Path, name: str) -> Path:
    """Return where a component lies: in its own folder, else, as diffusers reads it, at the top."""
    return folder / name if (folder / name).is_dir() else folder


def weights_in(names: Collection[str], *, ema: bool = True) -> str | None:
    """Return the weights among a component's file names, or the index of their shards.

    Averaged ones (variant `ema`) come first where they are wanted, else raw ones (`non_ema`). Full
    precision comes before half, since a half-precision copy gives other outputs; of one precision
    safetensors come before .bin.

    Args:
        names: of the files.
        ema: whether averaged weights are wanted.
    """
    first, last = (".ema", ".non_ema") if ema else (".non_ema", ".ema")
    for variant in (first, *_VARIANTS, last):
        for suffix in ("safetensors", "bin"):
            for stem in _STEMS:
                for name in (
                    f"{stem}.{suffix}.index{variant}.json",
                    f"{stem}{variant}.{suffix}",
                ):
                    if name in names:
                        return name
    return None


def is_averaged(names: Collection[str], *, ema: bool = True) -> bool:
    """Tell whether the weights that `weights_in` finds are averaged ones, as file names say it."""
    found = weights_in(names, ema=ema) or ""
    if ".ema." in found:
        return True
    return ".non_ema." not in found and any(".non_ema." in name for name in names)


def weights_of(folder: Path, *, ema: bool = True) -> list[Path]:
    """Return the files of a component's weights.

    Raises:
        InputError: there are none, or some that an index names are missing.
    """
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    found = weights_in(names, ema=ema)
    if found is None:
        raise InputError(
            f"{folder} holds no weights: looked for diffusion_pytorch_model.safetensors, "
            "model.safetensors, .bin and kin"
        )
    if not found.endswith(".json"):
        return [folder / found]
    table = read_json(folder / found).get("weight_map")
    if not isinstance(table, Mapping):
        raise InputError(f"{folder / found} is no index of shards: it has no weight_map")
    shards = sorted({str(name) for name in table.values()})
    odd = [name for name in shards if Path(name).name != name]
    if odd:
        raise InputError(f"{folder / found} names a shard outside its folder: {odd[0]}")
    absent = [name for name in shards if name not in names]
    if absent:
        raise InputError(f"{folder / found} names {absent[0]}, which is not there; get it too")
    return [folder / name for name in shards]


def shards_of(name: str, names: Collection[str]) -> list[str]:
    """Return the files that belong to what `weights_in` found: itself, and shards of an index."""
    found = re.fullmatch(r"(\w+)\.(\w+)\.index(\.\w+)?\.json", name)
    if found is None:
        return [name]
    stem, suffix, variant = found[1], found[2], found[3] or ""
    shard = re.compile(re.escape(stem + variant) + r"-\d+-of-\d+\." + suffix)
    return [name, *sorted(n for n in names if shard.fullmatch(n))]


def read_json(place: Path) -> dict[str, Any]:
    """Return a JSON object, or say what is wrong with its file."""
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{place} is missing; the folder is not complete") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{place} is not readable as JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{place} is not a JSON object")
    return content
