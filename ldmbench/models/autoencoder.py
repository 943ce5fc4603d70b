"""First stages that are trained here (arXiv:2112.10752, section 3.1 and Appendix G).

The networks are diffusers' AutoencoderKL and VQModel; f = 1 is the identity. To train another
kind: its network in `_network`, its loss in train/autoencoder.py.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, VQModel
from torch import nn

from ldmbench.errors import InputError
from ldmbench.models.diffusers.folder import load_folder
from ldmbench.models.files import blank, read_card, seeded, write_card
from ldmbench.models.first_stage import STAGES, FirstStage, Identity
from ldmbench.models.flops import count_flops
from ldmbench.models.model import Info, Model, latent_sides
from ldmbench.schema.models import AutoencoderParams
from ldmbench.schema.networks import LATENT_CHANNELS, STAGE_MULTIPLIERS

__all__ = [
    "build_first_stage",
    "coding_flops",
    "latent_shape",
    "load_first_stage",
    "save_first_stage",
    "trainable",
]

_UNSTATED_SIDE = 256
"""Of images, where nothing says it; any side can be encoded."""


def build_first_stage(params: AutoencoderParams, *, seed: int) -> FirstStage:
    """Return a first stage with fresh weights that depend on `seed` alone.

    Raises:
        InputError: if the multipliers do not halve the image log2(f) times.
    """
    return _stage(params, seeded(lambda: _network(params), seed))


def latent_shape(params: AutoencoderParams, resolution: int) -> tuple[int, int, int]:
    """Return (C, h, w) of the latent of a square image.

    Raises:
        InputError: if f does not divide the resolution.
    """
    return _channels(params), *latent_sides(resolution, params.f)


def coding_flops(params: AutoencoderParams, resolution: int) -> tuple[int, int]:
    """Return the FLOPs of encoding and of decoding one image, 2 per multiply-add."""
    empty = _stage(params, blank(lambda: _network(params)))
    x = torch.empty(1, 3, resolution, resolution, device="meta")
    z = torch.empty(1, *latent_shape(params, resolution), device="meta")
    return count_flops(lambda: empty.encode(x)), count_flops(lambda: empty.decode(z))


def save_first_stage(
    stage: FirstStage, folder: Path, *, params: AutoencoderParams, scale: float
) -> None:
    """Write diffusers' folder format (config.json, safetensors) and ldmbench.json.

    Args:
        stage: what was trained.
        folder: where it goes; the identity is ldmbench.json alone.
        params: what it was built from.
        scale: what latents are multiplied by, so that their standard deviation is near 1.
    """
    write_card(folder, "first-stage", params=params.model_dump(mode="json"), scale=scale)
    if stage.network is not None:
        stage.network.register_to_config(scaling_factor=scale)
        stage.network.save_pretrained(folder, safe_serialization=True)


def load_first_stage(folder: Path, *, device: str | torch.device = "cpu") -> Model:
    """Read what `save_first_stage` wrote: a model without a denoiser; no code of it is run.

    Raises:
        InputError: if the folder does not hold a first stage.
    """
    card = read_card(folder, "first-stage")
    params = AutoencoderParams.model_validate(card.get("params", {}))
    if params.f != 1:
        return load_folder(folder).to(device)
    side = _UNSTATED_SIDE
    info = Info(
        f=1,
        latent_shape=(_channels(params), side, side),
        scale=float(card["scale"]),
        digest="",
        source="ldmbench:identity",
        path=folder,
        quantize="round",
    )
    return Model(info, Identity())


def trainable(stage: FirstStage) -> nn.Module:
    """Return the network of a first stage that can be trained.

    Raises:
        InputError: if it is the identity.
    """
    if stage.network is None:
        raise InputError("f = 1 is the identity and is not trained; leave its stage out")
    network: nn.Module = stage.network
    return network


def _stage(params: AutoencoderParams, network: Any) -> FirstStage:
    if params.f == 1:
        return Identity()
    stage: FirstStage = STAGES[params.regularization](network)
    return stage


def _channels(params: AutoencoderParams) -> int:
    return params.latent_channels or LATENT_CHANNELS[params.f]


def _network(params: AutoencoderParams) -> Any:
    if params.f == 1:
        return None
    multipliers = params.multipliers or STAGE_MULTIPLIERS[params.f]
    if 2 ** (len(multipliers) - 1) != params.f:
        raise InputError(
            f"autoencoder.multipliers has {len(multipliers)} levels, f = {params.f} needs "
            f"{params.f.bit_length()}; each level after the first halves the image"
        )
    shared: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * len(multipliers),
        "up_block_types": ("UpDecoderBlock2D",) * len(multipliers),
        "block_out_channels": tuple(params.channels * m for m in multipliers),
        "layers_per_block": params.blocks,
        "latent_channels": _channels(params),
        "norm_num_groups": math.gcd(32, params.channels),
        "mid_block_add_attention": params.attention,
        "scaling_factor": 1.0,
    }
    if params.regularization == "kl":
        return AutoencoderKL(**shared)
    return VQModel(**shared, num_vq_embeddings=params.codebook)
