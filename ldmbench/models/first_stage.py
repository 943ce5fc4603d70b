"""First stages behind one interface: images to latents and back, not scaled.

arXiv:2112.10752, section 3.1 and Appendix G.

To add one: a class of this interface, a row in `STAGES`, and its network in diffusers_classes.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ldmbench.errors import InputError
from ldmbench.schema.models import LatentRule

__all__ = [
    "KL",
    "STAGES",
    "VQ",
    "Absent",
    "FirstStage",
    "Frames",
    "Identity",
    "Normalised",
    "Plain",
    "Rate",
    "Representation",
    "Tiny",
    "kl_nats",
    "nearest_codes",
]


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


class FirstStage(Protocol):
    """Images to latents and back, not scaled; the network is diffusers'."""

    @property
    def kind(self) -> str:
        """Return vq, kl, tiny, ae or pixel."""
        ...

    @property
    def network(self) -> Any:
        """Return the diffusers network, or None in pixel space."""
        ...

    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return latents of x, NCHW in [-1, 1].

        Args:
            x: images.
            noise: N(0, 1) of the latents' shape, where a posterior is to be drawn from.
        """
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Return images of z, NCHW, near [-1, 1] and not clamped."""
        ...

    def rate(self, x: Tensor) -> Rate:
        """Return what the latents of x cost."""
        ...


@dataclass(frozen=True)
class VQ:
    """A vector-quantised first stage: encode stops before the codebook, decode goes through it."""

    network: Any
    kind: str = "vq"

    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return the latents before quantisation; there is nothing to draw."""
        latents: Tensor = self.network.encode(x).latents
        return latents

    def decode(self, z: Tensor) -> Tensor:
        """Quantise and decode."""
        image: Tensor = self.network.decode(z).sample
        return image

    def rate(self, x: Tensor) -> Rate:
        """Return log2 |Z| per latent position in bits per pixel, and the codes."""
        codes = nearest_codes(self.network, self.encode(x))
        size = int(self.network.config.num_vq_embeddings)
        return Rate(_each(x, codes[0].numel() * math.log2(size)), codes.cpu(), size)


@dataclass(frozen=True)
class KL:
    """A first stage with a Gaussian posterior, which is pulled slightly towards N(0, 1)."""

    network: Any
    kind: str = "kl"

    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return the mode of the posterior, or its draw under `noise`."""
        posterior = self._posterior(x)
        z: Tensor = posterior.mean if noise is None else posterior.mean + posterior.std * noise
        return z

    def decode(self, z: Tensor) -> Tensor:
        """Decode."""
        image: Tensor = self.network.decode(z).sample
        return image

    def rate(self, x: Tensor) -> Rate:
        """Return KL(q(z|x) || N(0, 1)) in bits per pixel.

        It is the rate of an ideal coder that communicates a draw of the posterior under that
        prior; it belongs to drawn latents, not to the mode.
        """
        nats = kl_nats(self._posterior(x)).double().cpu()
        return Rate(nats / math.log(2) / (x.shape[2] * x.shape[3]))

    def _posterior(self, x: Tensor) -> Any:
        return self.network.encode(x).latent_dist


@dataclass(frozen=True)
class Plain:
    """AutoencoderDC (arXiv:2410.10733): an autoencoder without posterior, its latents unbounded."""

    network: Any
    kind: str = "ae"

    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return the latents; there is nothing to draw."""
        latents: Tensor = self.network.encode(x).latent
        return latents

    def decode(self, z: Tensor) -> Tensor:
        """Decode."""
        image: Tensor = self.network.decode(z).sample
        return image

    def rate(self, x: Tensor) -> Rate:
        """Return 8 bits for each value of a latent."""
        return Rate(_each(x, 8 * self.encode(x)[0].numel()))


@dataclass(frozen=True)
class Tiny(Plain):
    """AutoencoderTiny, which has no posterior and speaks the latents of a larger one."""

    kind: str = "tiny"

    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return the latents; there is nothing to draw."""
        latents: Tensor = self.network.encode(x).latents
        return latents


@dataclass(frozen=True)
class Representation(Plain):
    """AutoencoderRAE (arXiv:2510.11690): features of a frozen encoder, and a decoder of them.

    Its network works on images in [0, 1]; it resizes them to one size, and makes images of one.
    """

    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return the features, normalised inside; there is nothing to draw."""
        return super().encode((x + 1) / 2)

    def decode(self, z: Tensor) -> Tensor:
        """Decode to images of the network's own size."""
        return super().decode(z) * 2 - 1


@dataclass(frozen=True)
class Frames(KL):
    """A first stage of videos, of which an image is one frame: (N, C, 1, H, W) inside."""

    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return the mode of the posterior, or its draw under `noise`."""
        return super().encode(x, noise=None if noise is None else noise[:, :, None])[:, :, 0]

    def decode(self, z: Tensor) -> Tensor:
        """Decode."""
        return super().decode(z[:, :, None])[:, :, 0]

    def _posterior(self, x: Tensor) -> Any:
        return super()._posterior(x[:, :, None])


@dataclass(frozen=True)
class Identity:
    """f = 1: the latent is the image."""

    network: Any = None
    kind: str = "pixel"

    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return x."""
        return x

    def decode(self, z: Tensor) -> Tensor:
        """Return z."""
        return z

    def rate(self, x: Tensor) -> Rate:
        """Return 8 bits for each channel of each pixel."""
        return Rate(_each(x, 8 * x[0].numel()))


@dataclass(frozen=True)
class Normalised:
    """A first stage whose latents are shifted and divided, as its denoisers see them.

    Of a rule with a patch, the positions of each patch become channels first: c, dy, dx.

    Attributes:
        stage: the first stage itself.
        rule: its mean, standard deviation and patch; the scale is the model's.
    """

    stage: FirstStage
    rule: LatentRule

    @property
    def kind(self) -> str:
        """Return vq, kl or tiny."""
        return self.stage.kind

    @property
    def network(self) -> Any:
        """Return the diffusers network."""
        return self.stage.network

    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return (z - mean) / std of the latents, those of a patch together."""
        patch = self.rule.patch
        drawn = noise if noise is None else torch.nn.functional.pixel_shuffle(noise, patch)
        z = self.stage.encode(x, noise=drawn)
        z = torch.nn.functional.pixel_unshuffle(z, patch)
        if self.rule.mean:
            z = z - _column(self.rule.mean, z)
        return z / _column(self.rule.std, z) if self.rule.std else z

    def decode(self, z: Tensor) -> Tensor:
        """Return images of normalised latents."""
        if self.rule.std:
            z = z * _column(self.rule.std, z)
        if self.rule.mean:
            z = z + _column(self.rule.mean, z)
        return self.stage.decode(torch.nn.functional.pixel_shuffle(z, self.rule.patch))

    def rate(self, x: Tensor) -> Rate:
        """Return what the latents cost; no normalisation changes it."""
        return self.stage.rate(x)


@dataclass(frozen=True)
class Absent:
    """A first stage that a model was trained on, but does not name or give.

    Attributes:
        why: the sentence that refuses to encode and decode.
    """

    why: str
    network: Any = None
    kind: str = "kl"

    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Refuse it."""
        raise InputError(self.why)

    def decode(self, z: Tensor) -> Tensor:
        """Refuse it."""
        raise InputError(self.why)

    def rate(self, x: Tensor) -> Rate:
        """Refuse it."""
        raise InputError(self.why)


STAGES: dict[str, Any] = {
    "ae": Plain,
    "frames": Frames,
    "kl": KL,
    "rae": Representation,
    "tiny": Tiny,
    "vq": VQ,
}
"""First stages with a network, by the names in diffusers_classes.py."""


def kl_nats(posterior: Any) -> Tensor:
    """Return KL(N(mean, var) || N(0, 1)) of each image, nats, float32 (N,)."""
    kl: Tensor = posterior.mean.square() + posterior.var - 1 - posterior.logvar
    return 0.5 * kl.flatten(1).sum(1)


def nearest_codes(network: Any, z: Tensor) -> Tensor:
    """Return the nearest code of each position, int64 (N, h, w), of unscaled latents."""
    n, _, h, w = z.shape
    points = z.permute(0, 2, 3, 1).flatten(0, 2)
    codes: Tensor = torch.cdist(points, network.quantize.embedding.weight).argmin(1)
    return codes.view(n, h, w)


def _column(values: tuple[float, ...], z: Tensor) -> Tensor:
    """Return one value, or one for each channel, in the shape that latents broadcast with."""
    return torch.tensor(values, dtype=z.dtype, device=z.device).view(1, -1, 1, 1)


def _each(x: Tensor, bits: float) -> Tensor:
    """Return bits per pixel of images that all cost the same, float64 (N,)."""
    return torch.full((len(x),), bits / (x.shape[2] * x.shape[3]), dtype=torch.float64)
