"""The networks of a diffusers folder by their configs: what is refused, and what old ones took."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.registry import nearest
from ldmbench.sources.models.config_kinds import read_checked
from ldmbench.sources.models.diffusers_blocks import check_blocks
from ldmbench.sources.models.diffusers_classes import (
    DENOISERS,
    DIT,
    ELSEWHERE,
    FIRST_STAGES,
    PIPELINES,
    SET_BY_PIPELINE,
)
from ldmbench.sources.models.diffusers_schedule import Assumed, Ignored
from ldmbench.sources.models.places import UNSIZED, component, part_of

__all__ = ["check_named", "check_network", "first_stage", "sized"]

_SHIFTS = ("shift_factor", "latents_mean", "latents_std")
_UNFED = ("addition_embed_type", "class_embed_type", "encoder_hid_dim_type", "time_cond_proj_dim")
_FIRST_SIZED = (0, 9)
"""The version since which Stable Diffusion's folders state the side of their latents."""


def check_network(config: Mapping[str, object], where: Path) -> None:
    """Refuse networks that no table has, or that want inputs which no supported pipeline gives."""
    name = str(config.get("_class_name"))
    if name not in DENOISERS:
        raise InputError(
            f"{where} is a '{name}'{nearest(name, DENOISERS)}, which is not supported; there are:"
            f" {', '.join(DENOISERS)}; {ELSEWHERE}"
        )
    check_blocks(config, where)
    for field in _UNFED:
        if config.get(field) is not None:
            raise InputError(
                f"{where}: {field} = '{config[field]}' asks for inputs that are not given "
                f"(Stable Diffusion XL and kin); {ELSEWHERE}"
            )
    norm = config.get("norm_type", "ada_norm_zero")
    if DENOISERS[name] == DIT and norm != "ada_norm_zero":
        raise InputError(
            f"{where}: norm_type = '{norm}' is no DiT's but that of another transformer (PixArt"
            f" and kin), which is not supported; {ELSEWHERE}"
        )


def check_named(
    index: Mapping[str, Any], part: str, network: Mapping[str, object], root: Path
) -> None:
    """Refuse a denoiser whose class model_index.json, which diffusers follows, names otherwise."""
    named, stated = str(index[part][1]), str(network["_class_name"])
    if DENOISERS.get(named, named) != DENOISERS[stated]:
        raise InputError(
            f"{root}: model_index.json names {named} for its {part}, whose config.json names"
            f" {stated}; write the class of its weights into both"
        )


def first_stage(
    root: Path, index: Mapping[str, object], pipeline: str, card: Mapping[str, object]
) -> tuple[dict[str, Any], tuple[Assumed, ...]]:
    """Return the first stage's config with its scale, and what was taken for it."""
    part = component(index, ("vqvae", "vae"))
    if part is None:
        return {}, ()
    place = part_of(root, part)
    config = read_checked(place / "config.json")
    name = str(config.get("_class_name"))
    if name not in FIRST_STAGES:
        raise InputError(
            f"{place} is a '{name}'{nearest(name, FIRST_STAGES)}; first stages are"
            f" {', '.join(FIRST_STAGES)}; {ELSEWHERE}"
        )
    check_blocks(config, place)
    stated, ruled = config.get("scaling_factor"), PIPELINES[pipeline]
    file = f"{place.relative_to(root).as_posix()}/config.json".removeprefix("./")
    unused = _unused(config, pipeline, file, known="latents" in card)
    if stated is not None or "scale" in card:
        _check_scale(stated, card.get("scale"), file, root)
        return config, unused
    if FIRST_STAGES[name][1] == "tiny":
        ruled, why = 1.0, "AutoencoderTiny works on latents that are scaled already"
    elif ruled is None:
        raise InputError(
            f"{place / 'config.json'} states no scaling_factor, and {pipeline} does not say by what"
            " latents were scaled; write the model's scaling_factor into it (1.0 is CompVis'"
            " default for VQ stages, 0.18215 Stable Diffusion's)"
        )
    else:
        why = f"{pipeline} took it before configs had the field"
    taken = Assumed("scaling_factor", ruled, file, why, today=0.18215)
    kept = () if pipeline in SET_BY_PIPELINE else (taken,)
    return config | {"scaling_factor": ruled}, (*kept, *unused)


def _check_scale(stated: object, carded: object, file: str, root: Path) -> None:
    """Refuse a scale in ldmbench.json that is not the one of the first stage's own config."""
    if stated is None or carded is None or carded in (stated, 1.0):
        return
    raise InputError(
        f"{root}: ldmbench.json has scale {carded}, but {file} has scaling_factor {stated}; write"
        " the one that the model was trained with into both"
    )


def _unused(
    config: Mapping[str, object], pipeline: str, file: str, *, known: bool
) -> tuple[Assumed, ...]:
    """Return shifts of latents that a config states and its pipeline does not apply.

    Raises:
        InputError: no pipeline says whether they are applied.
    """
    found = [name for name in _SHIFTS if config.get(name)]
    if known or not found:
        return ()
    if PIPELINES[pipeline] is None:
        raise InputError(
            f"{file} states {', '.join(found)}, and {pipeline} does not say whether latents are"
            " shifted; take the field out, or name the pipeline that the model was made for"
        )
    why = f"since {pipeline} scales latents by scaling_factor alone"
    return tuple(Ignored(name, config[name], file, why) for name in found)


def sized(
    network: dict[str, object], pipeline: str, place: Path
) -> tuple[dict[str, object], tuple[Assumed, ...]]:
    """Give an old Stable Diffusion its side of 64, as its pipeline does.

    Before diffusers 0.9 its UNet's config had the class's 32.
    """
    old = _version(network) < _FIRST_SIZED and "_diffusers_version" in network
    if network.get("sample_size") is None and DENOISERS[str(network["_class_name"])] != DIT:
        why = "as Stable Diffusion has it; write the side of its latents there if it is another"
        file = f"{place.name}/config.json"
        return network, (Assumed("sample_size", UNSIZED, file, why, today=UNSIZED),)
    if not (pipeline.startswith("StableDiffusion") and "Upscale" not in pipeline and old):
        return network, ()
    if network.get("sample_size") != 32:
        return network, ()
    why = f"{pipeline} takes it in place of 32, the default of diffusers before 0.9"
    taken = Assumed("sample_size", UNSIZED, f"{place.name}/config.json", why, today=32)
    return network | {"sample_size": UNSIZED}, (taken,)


def _version(config: Mapping[str, object]) -> tuple[int, int]:
    """Return the version of diffusers that wrote a config: (major, minor)."""
    parts = str(config.get("_diffusers_version", "0.0")).split(".")
    numbers = [int("".join(c for c in part if c.isdecimal()) or 0) for part in (*parts, "0")]
    return numbers[0], numbers[1]
