"""First stages: images <-> latents (arXiv:2112.10752, section 3.1 and Appendix G).

The networks are diffusers' AutoencoderKL and VQModel; f = 1 is the identity.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import AutoencoderKL, VQModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ldmbench.errors import InputError
from ldmbench.models.files import blank, read_card, read_weights, seeded, write_card
from ldmbench.schema.models import AutoencoderParams

__all__ = [
    "FirstStage",
    "IdentityStage",
    "KLStage",
    "Rate",
    "VQStage",
    "build_first_stage",
    "load_first_stage",
]

WEIGHTS = "diffusion_pytorch_model.safetensors"

# fmt: off
_MULTIPLIERS: dict[int, tuple[int, ...]] = {
    2:  (1, 2),
    4:  (1, 2, 2),
    8:  (1, 1, 2, 2),
    16: (1, 1, 2, 2, 4),
    32: (1, 1, 2, 2, 4, 4),
}
# as in the paper's tables, except that f = 2 and f = 32 keep to small numbers too
_LATENT_CHANNELS = {1: 3, 2: 3, 4: 3, 8: 4, 16: 8, 32: 16}
# fmt: on


@dataclass(frozen=True)
class Rate:
    """What the latents of N images cost.

    Attributes:
        bits_per_pixel: float64 (N,), bits of one image's latent over its H x W pixels.
        codes: int64 (N, h, w), the codes of a VQ, for their empirical entropy; else None.
        codebook: number of codes of a VQ; else None.
    """

    bits_per_pixel: Tensor
    codes: Tensor | None = None
    codebook: int | None = None


class FirstStage(ABC):
    """Images NCHW float32 in [-1, 1] <-> latents as the denoiser sees them (scaled, float32).

    Attributes:
        params: what it was built from.
        module: diffusers' network, or None for the identity.
        scale: latents are multiplied by it, so that their standard deviation is near 1.
    """

    def __init__(self, params: AutoencoderParams, module: Any, *, scale: float = 1.0) -> None:
        self.params = params
        self.module: Any = module
        self.scale = scale

    @property
    def f(self) -> int:
        """The downsampling factor."""
        return self.params.f

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return self.params.latent_channels or _LATENT_CHANNELS[self.f]

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.module.parameters()) if self.module is not None else 0

    def latent_shape(self, resolution: int) -> tuple[int, int, int]:
        """Return (C, h, w) of the latent of a square image.

        Raises:
            InputError: if f does not divide the resolution.
        """
        if resolution < self.f or resolution % self.f:
            raise InputError(
                f"f = {self.f} does not divide a resolution of {resolution} pixels; "
                "choose an f that does, or another resolution"
            )
        side = resolution // self.f
        return self.latent_channels, side, side

    @abstractmethod
    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return the latents of x: KL posterior mode, VQ before quantisation.

        Args:
            x: NCHW float32 in [-1, 1].
            noise: N(0, 1) of the latents' shape; a KL then returns mean + std * noise.
        """

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """Return images NCHW float32, near [-1, 1] and not clamped; VQ quantises."""

    @abstractmethod
    def rate(self, x: Tensor) -> Rate:
        """Return what the latents of these images cost."""

    def flops(self, resolution: int) -> tuple[int, int]:
        """Return the FLOPs of encoding and of decoding one image, 2 per multiply-add."""
        if self.module is None:
            return 0, 0
        empty = type(self)(self.params, blank(lambda: _network(self.params)), scale=self.scale)
        x = torch.empty(1, 3, resolution, resolution, device="meta")
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            z = empty.module.encoder(x)
            encoding = counted.get_total_flops()
            empty.module.decoder(z[:, : self.latent_channels])
        return encoding, counted.get_total_flops() - encoding

    def to(self, device: str | torch.device) -> Self:
        """Move the weights and return self."""
        if self.module is not None:
            self.module.to(device)
        return self

    def save(self, folder: Path) -> None:
        """Write diffusers' folder format (config.json, safetensors) and ldmbench.json."""
        write_card(
            folder, "first-stage", params=self.params.model_dump(mode="json"), scale=self.scale
        )
        if self.module is not None:
            self.module.register_to_config(scaling_factor=self.scale)
            self.module.save_pretrained(folder, safe_serialization=True)


class IdentityStage(FirstStage):
    """f = 1: the latent is the image, and its rate is the image's own 24 bits per pixel."""

    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return x."""
        return x

    def decode(self, z: Tensor) -> Tensor:
        """Return z."""
        return z

    def rate(self, x: Tensor) -> Rate:
        """Return 8 bits for each of three channels."""
        return Rate(torch.full((len(x),), 24.0, dtype=torch.float64))


class KLStage(FirstStage):
    """A first stage whose posterior is pulled slightly towards N(0, 1)."""

    @torch.no_grad()
    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return the scaled mode of the posterior, or its draw under `noise`."""
        posterior = self.module.encode(x).latent_dist
        z: Tensor = posterior.mean if noise is None else posterior.mean + posterior.std * noise
        return z * self.scale

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Divide the scale and decode."""
        out: Tensor = self.module.decode(z / self.scale).sample
        return out

    @torch.no_grad()
    def rate(self, x: Tensor) -> Rate:
        """Return KL(q(z|x) || N(0, 1)) in bits per pixel, in the unscaled latent space.

        It is the rate of an ideal coder that communicates a draw of the posterior under that
        prior; it belongs to drawn latents, not to the mode.
        """
        posterior = self.module.encode(x).latent_dist
        return Rate(kl_nats(posterior).double().cpu() / math.log(2) / (x.shape[2] * x.shape[3]))


class VQStage(FirstStage):
    """A first stage with a codebook inside its decoder."""

    @torch.no_grad()
    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return scaled latents before quantisation; there is nothing to draw."""
        z: Tensor = self.module.encode(x).latents
        return z * self.scale

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Divide the scale, quantise, decode."""
        out: Tensor = self.module.decode(z / self.scale).sample
        return out

    @torch.no_grad()
    def rate(self, x: Tensor) -> Rate:
        """Return log2 |Z| per latent position in bits per pixel, and the codes."""
        codes = nearest_codes(self.module, self.module.encode(x).latents)
        bits = codes[0].numel() * math.log2(self.params.codebook) / (x.shape[2] * x.shape[3])
        return Rate(
            torch.full((len(x),), bits, dtype=torch.float64), codes.cpu(), self.params.codebook
        )


def build_first_stage(params: AutoencoderParams, *, seed: int) -> FirstStage:
    """Return a first stage with fresh weights that depend on `seed` alone; scale 1.

    Raises:
        InputError: if the multipliers do not halve the image log2(f) times.
    """
    return _kind(params)(params, seeded(lambda: _network(params), seed))


def load_first_stage(folder: Path, *, device: str | torch.device = "cpu") -> FirstStage:
    """Read what `FirstStage.save` wrote; no code of the folder is executed.

    Raises:
        InputError: if the folder does not hold a first stage.
    """
    card = read_card(folder, "first-stage")
    params = AutoencoderParams.model_validate(card["params"])
    module = blank(lambda: _network(params))
    if module is not None:
        read_weights(module, folder / WEIGHTS, device)
        module.eval().requires_grad_(False)
    return _kind(params)(params, module, scale=float(card["scale"]))


def kl_nats(posterior: Any) -> Tensor:
    """Return KL(N(mean, var) || N(0, 1)) of each image, nats, float32 (N,)."""
    kl: Tensor = posterior.mean.square() + posterior.var - 1 - posterior.logvar
    return 0.5 * kl.flatten(1).sum(1)


def nearest_codes(module: Any, z: Tensor) -> Tensor:
    """Return the nearest code of each position, int64 (N, h, w), of unscaled latents."""
    n, _, h, w = z.shape
    points = z.permute(0, 2, 3, 1).flatten(0, 2)
    codes: Tensor = torch.cdist(points, module.quantize.embedding.weight).argmin(1)
    return codes.view(n, h, w)


def _kind(params: AutoencoderParams) -> type[FirstStage]:
    if params.f == 1:
        return IdentityStage
    return KLStage if params.regularization == "kl" else VQStage


def _network(params: AutoencoderParams) -> Any:
    if params.f == 1:
        return None
    multipliers = params.multipliers or _MULTIPLIERS[params.f]
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
        "latent_channels": params.latent_channels or _LATENT_CHANNELS[params.f],
        "norm_num_groups": math.gcd(32, params.channels),
        "mid_block_add_attention": params.attention,
        "scaling_factor": 1.0,
    }
    if params.regularization == "kl":
        return AutoencoderKL(**shared)
    return VQModel(**shared, num_vq_embeddings=params.codebook)


def trainable(stage: FirstStage) -> nn.Module:
    """Return the network of a first stage that can be trained.

    Raises:
        InputError: if it is the identity.
    """
    if stage.module is None:
        raise InputError("f = 1 is the identity and is not trained; leave its stage out")
    module: nn.Module = stage.module
    return module
