"""First stages behind one interface: images to latents and back, not scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

__all__ = ["KL", "VQ", "FirstStage", "Identity", "Tiny"]


class FirstStage(Protocol):
    """Images to latents and back, not scaled; the network is diffusers'."""

    @property
    def kind(self) -> str:
        """Return vq, kl, tiny or pixel."""
        ...

    @property
    def network(self) -> Any:
        """Return the diffusers network, or None in pixel space."""
        ...

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Return latents of x, NCHW in [-1, 1]."""
        ...

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Return images of z, NCHW."""
        ...


@dataclass(frozen=True)
class VQ:
    """A vector-quantised first stage: encode stops before the codebook, decode goes through it."""

    network: Any
    kind: str = "vq"

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Return the latents before quantisation."""
        latents: torch.Tensor = self.network.encode(x).latents
        return latents

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Quantise and decode."""
        image: torch.Tensor = self.network.decode(z).sample
        return image


@dataclass(frozen=True)
class KL:
    """A first stage with a Gaussian posterior; encode returns its mode."""

    network: Any
    kind: str = "kl"

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mode of the posterior."""
        mode: torch.Tensor = self.network.encode(x).latent_dist.mode()
        return mode

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Decode."""
        image: torch.Tensor = self.network.decode(z).sample
        return image


@dataclass(frozen=True)
class Tiny:
    """AutoencoderTiny, which has no posterior and speaks the latents of a larger one."""

    network: Any
    kind: str = "tiny"

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Return the latents."""
        latents: torch.Tensor = self.network.encode(x).latents
        return latents

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Decode."""
        image: torch.Tensor = self.network.decode(z).sample
        return image


@dataclass(frozen=True)
class Identity:
    """f = 1: the pixel space."""

    network: Any = None
    kind: str = "pixel"

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Return x."""
        return x

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Return z."""
        return z
