"""What the config of a first stage of diffusers says of its sizes; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sources.models.diffusers_classes import FIRST_STAGES

__all__ = ["check_stage", "fixed_side", "image_channels", "stage_channels", "stage_factor"]

_DC_LAYERS = (2, 2, 2, 3, 3, 3)
_RAE = {"patch_size": 16, "encoder_input_size": 224, "encoder_patch_size": 14}
"""Defaults of diffusers' classes."""


def stage_factor(config: Mapping[str, Any]) -> int:
    """Return the downsampling factor."""
    name = str(config["_class_name"])
    if name == "AutoencoderRAE":
        return _rae(config)["patch_size"]
    if name == "AutoencoderDC":  # a level without layers does not halve, but for the first
        layers = config.get("encoder_layers_per_block") or _DC_LAYERS
        return int(2 ** sum(i == 0 or count > 0 for i, count in enumerate(layers[:-1])))
    field, default = FIRST_STAGES[name].levels
    levels = config.get(field)
    return int(2 ** ((len(levels) if levels else default) - 1))


def stage_channels(config: Mapping[str, Any]) -> int:
    """Return the channels of a latent."""
    field, default = FIRST_STAGES[str(config["_class_name"])].channels
    return int(config.get(field) or config.get("latent_channels") or default)


def fixed_side(config: Mapping[str, object]) -> int | None:
    """Return the side of the only images that it makes; None where it makes any."""
    if config["_class_name"] != "AutoencoderRAE":
        return None
    sizes = _rae(config)
    return sizes["patch_size"] * (sizes["encoder_input_size"] // sizes["encoder_patch_size"])


def image_channels(config: Mapping[str, Any]) -> tuple[int, int]:
    """Return the channels of images that go in, and of those that come out."""
    both = config.get("input_channels") or config.get("num_channels") or 3
    return int(config.get("in_channels") or both), int(config.get("out_channels") or both)


def check_stage(config: Mapping[str, object], place: Path) -> None:
    """Refuse what a class of first stages has for videos, sequences or other shapes.

    Raises:
        InputError: latents that are no images, or patches that are not square.
    """
    if config.get("reshape_to_2d") is False:
        raise InputError(
            f"{place / 'config.json'}: reshape_to_2d is false, so its latents are sequences;"
            " allowed: true, latents of rows and columns"
        )
    patch = config.get("patch_size")
    if isinstance(patch, list | tuple) and len({*patch}) != 1:
        raise InputError(f"{place / 'config.json'}: patch_size is {patch}; allowed are square ones")


def _rae(config: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(config.get(name) or default) for name, default in _RAE.items()}
