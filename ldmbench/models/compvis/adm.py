"""guided-diffusion (ADM) checkpoints: pixel-space baselines, described by its scripts' flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ldmbench.models.compvis.unet import build_unet
from ldmbench.models.conditions import ClassLabels, Condition, NoCondition
from ldmbench.models.first_stage import Identity
from ldmbench.models.image_conditions import EnlargedImage
from ldmbench.models.model import Info, Model
from ldmbench.models.weights import Tensors
from ldmbench.sources.models.adm_config import read_flags
from ldmbench.sources.models.compvis_plan import plan_unet
from ldmbench.tensors.entries import Held

__all__ = ["load_adm"]


def load_adm(flags: Mapping[str, Any], tensors: Tensors, *, held: Held, identity: str) -> Model:
    """Load a guided-diffusion UNet, or one that upsamples (SuperResModel).

    Args:
        flags: see `read_flags`.
        tensors: the state dict.
        held: where it came from.
        identity: digest of weights and flags.
    """
    where = str(held.path)
    told = read_flags(flags, where)
    info = Info(
        f=1,
        latent_shape=(told.channels, told.size, told.size),
        digest=identity,
        source=f"{told.source}:UNetModel",
        path=held.path,
        quantize="truncate",
        weights="ema" if held.averaged else "raw",
        weights_from=held.source,
        left_out=held.left_out,
        schedule=told.schedule,
        timesteps="leading",
        time_scale=told.time_scale,
        assumed=tuple(map(str, told.taken)),
    )
    condition: Condition = NoCondition() if told.classes is None else ClassLabels(told.classes)
    if told.small is not None:
        condition = EnlargedImage(told.small, told.size, told.classes)
    network = build_unet(plan_unet(told.unet, where=where), tensors, where=where)
    return Model(info, Identity(), network=network, condition=condition)
