"""A model that a suite trained, of the two artefacts that a store keeps of it."""

from __future__ import annotations

from pathlib import Path

import torch

from ldmbench.errors import InputError
from ldmbench.models.autoencoder import load_first_stage
from ldmbench.models.diffusers.folder import load_folder
from ldmbench.models.early import is_early, load_early
from ldmbench.models.files import read_card
from ldmbench.models.model import Model
from ldmbench.schema.base import with_todays_names
from ldmbench.schema.models import DenoiserParams

__all__ = ["load_trained", "training_batch"]


def load_trained(
    autoencoder: Path, denoiser: Path, *, device: str | torch.device = "cpu", ema: bool = True
) -> Model:
    """Return the model of a first stage and a denoiser.

    Args:
        autoencoder: the artefact of its first stage.
        denoiser: that of its denoiser, or one of its kept checkpoints.
        device: where its weights go.
        ema: averaged weights, or raw ones.

    Raises:
        InputError: the folders hold something else, or no raw weights.
    """
    first = load_first_stage(autoencoder, device="cpu")
    if is_early(denoiser):
        if not ema:
            raise InputError(
                f"{denoiser} has averaged weights alone, as it was trained by an ldmbench that"
                " kept no others; `ldmbench run SUITE --fresh denoiser` trains it again"
            )
        return load_early(denoiser, first).to(device)
    return load_folder(denoiser, ema=ema, first_stage=first).to(device)


def training_batch(denoiser: Path) -> int:
    """Return the batch that a denoiser was trained with."""
    written = read_card(denoiser, "denoiser")["params"]
    return DenoiserParams.model_validate(with_todays_names(DenoiserParams, written)).batch
