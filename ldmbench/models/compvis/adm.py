"""guided-diffusion (ADM) checkpoints: pixel-space baselines, described by its scripts' flags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ldmbench.models.compvis.unet import build_unet
from ldmbench.models.conditions import ClassLabels, Condition, NoCondition
from ldmbench.models.first_stage import Identity
from ldmbench.models.image_conditions import FittedImage
from ldmbench.models.model import Model, info_of
from ldmbench.models.weights import Tensors
from ldmbench.schema.models import ModelFacts
from ldmbench.sources.models.adm_config import read_flags
from ldmbench.sources.models.compvis_plan import plan_unet

__all__ = ["load_adm"]


def load_adm(
    flags: Mapping[str, object], tensors: Tensors, *, facts: ModelFacts, path: Path, identity: str
) -> Model:
    """Load a guided-diffusion UNet, or one that upsamples (SuperResModel).

    Args:
        flags: see `read_flags`.
        tensors: the state dict.
        facts: what flags and names of tensors say.
        path: where it came from.
        identity: digest of weights and flags.
    """
    where = str(path)
    read = read_flags(flags, where)
    info = info_of(
        facts,
        path=path,
        digest=identity,
        latent_shape=(read.channels, read.size, read.size),
        schedule=read.schedule,
        time_scale=read.time_scale,
    )
    condition: Condition = NoCondition() if read.classes is None else ClassLabels(read.classes)
    if read.small is not None:
        condition = FittedImage(read.small, read.size, read.classes)
    network = build_unet(plan_unet(read.unet, where=where), tensors, where=where)
    return Model(info, Identity(), network=network, condition=condition)
