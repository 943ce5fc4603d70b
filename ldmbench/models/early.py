"""Denoisers as stores kept them before they were diffusers folders: still read, no longer written.

unet/ as today, conditioner.safetensors beside, and what they mean in ldmbench.json.
"""

from __future__ import annotations

from pathlib import Path

from ldmbench.models.conditioner import Brought
from ldmbench.models.denoiser import Denoiser
from ldmbench.models.files import blank, read_card
from ldmbench.models.model import Model
from ldmbench.models.weights import read_weights
from ldmbench.schema.base import with_todays_names
from ldmbench.schema.models import DenoiserParams

__all__ = ["is_early", "load_early"]

_RENAMED = {"vectors.weight": "embedding.weight"}


def is_early(folder: Path) -> bool:
    """Tell whether a denoiser was written before there was a model_index.json."""
    return not (folder / "model_index.json").is_file()


def load_early(folder: Path, first_stage: Model) -> Model:
    """Return the model of a denoiser and its first stage.

    Raises:
        InputError: if the folder does not hold a denoiser.
    """
    card = read_card(folder, "denoiser")
    made = blank(
        lambda: Denoiser(
            DenoiserParams.model_validate(with_todays_names(DenoiserParams, card["params"])),
            latent_channels=int(card["latent_channels"]),
            latent_size=int(card["latent_size"]),
            brought=Brought(classes=int(card["classes"])),
        )
    )
    unet = read_weights(folder / "unet" / "diffusion_pytorch_model.safetensors")
    made.network.load_state_dict(unet, assign=True)
    if made.conditioner is not None:
        tensors = read_weights(folder / "conditioner.safetensors")
        renamed = {_RENAMED.get(name, name): t for name, t in tensors.items()}
        made.conditioner.load_state_dict(renamed, assign=True)
    model, info = made.eval().requires_grad_(False).model(), first_stage.info
    return model.behind(first_stage.first_stage, f=info.f, scale=info.scale)
