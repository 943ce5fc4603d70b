"""The first stage of a model on disk, as a denoiser that is trained here sees its latents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldmbench.errors import InputError
from ldmbench.models.files import write_card
from ldmbench.models.first_stage import FirstStage, Normalised
from ldmbench.models.model import Model

__all__ = ["first_stage_of_model", "measured_scale", "save_taken"]


def first_stage_of_model(model: Model, *, scale: float | None = None) -> Model:
    """Return the first stage of a model, whose latents are those that a denoiser sees.

    Args:
        model: with or without a denoiser, as `load` returns it.
        scale: where its files do not say it.

    Raises:
        InputError: it works on pixels, or nothing says its scale.
    """
    rule = model.info.latents
    if rule is None:
        raise InputError(f"{model.info.path} works on pixels and has no first stage")
    known = model.info.scale if rule.scaled_by == "weights" else rule.scale
    chosen = known if scale is None else scale
    if chosen is None:
        raise InputError(f"{model.info.path} does not state the scale of its latents; state it")
    stage, (channels, h, w) = model.first_stage, model.info.latent_shape
    normalised = rule.mean or rule.std or rule.patch != 1
    if normalised and not isinstance(stage, Normalised):
        stage = Normalised(stage, rule.model_copy(update={"scale": chosen}))
        channels, h, w = rule.channels, h // rule.patch, w // rule.patch
    info = replace(
        model.info,
        f=rule.f,
        latent_shape=(channels, h, w),
        scale=chosen,
        schedule=None,
        timesteps=None,
    )
    return Model(info, stage)


@torch.no_grad()
def measured_scale(stage: FirstStage, batches: Sequence[Tensor]) -> float:
    """Return 1 / std of the latents of images (arXiv:2112.10752, Appendix G).

    Args:
        stage: images to latents.
        batches: of images (N, 3, H, W), float, [-1, 1].

    Raises:
        InputError: the latents are all alike, or not finite.
    """
    std = float(torch.cat([stage.encode(x) for x in batches]).double().std())
    if not (math.isfinite(std) and std > 0):
        raise InputError(
            f"latents of {sum(map(len, batches))} training images have the standard deviation"
            f" {std:g}; the first stage is damaged, or the images are all alike"
        )
    return 1.0 / std


def save_taken(model: Model, folder: Path) -> None:
    """Write a first stage as the folder that `load_first_stage` reads.

    Args:
        model: of `first_stage_of_model`.
        folder: where it goes.
    """
    facts: dict[str, Any] = {"channels": model.info.latent_shape[0], "scale": model.info.scale}
    if isinstance(model.first_stage, Normalised):
        facts["latents"] = model.first_stage.rule.model_dump(mode="json")
    write_card(folder, "first-stage", **facts, source=model.info.source, digest=model.info.digest)
    network: Any = model.first_stage.network
    if "scaling_factor" in network.config:
        network.register_to_config(scaling_factor=model.info.scale)
    network.save_pretrained(folder, safe_serialization=True)
