"""A first stage in code of the user's own: `encode` and `decode`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ldmbench.errors import InputError
from ldmbench.models.first_stage import Rate
from ldmbench.plugins import calling

__all__ = ["CalledStage"]


class CalledStage:
    """A first stage of the user's own: `encode(x)` and `decode(z)`.

    `encode` takes images (N, 3, H, W), float32 in [-1, 1], and returns latents, float, the first
    axis N. `decode` takes these and returns images, near [-1, 1].

    Attributes:
        coder: the object.
        side: of the images.
        title: what errors call it.
        device: where images lie.

    Raises:
        InputError: it has no `encode` or no `decode`, or its attribute `to` failed.
    """

    kind = "ae"
    scale = 1.0

    def __init__(self, coder: Any, *, side: int, title: str, device: str = "cpu") -> None:
        self.coder, self.side, self.title, self.device = coder, side, title, device
        for name in ("encode", "decode"):
            if not callable(getattr(coder, name, None)):
                raise InputError(f"{title} has no method `{name}`; see docs/extending.md")
        if callable(getattr(coder, "to", None)):
            calling(f"{title}.to failed", lambda: coder.to(device))

    def encode(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return its latents; there is nothing to draw.

        Raises:
            InputError: it failed, or returned no tensor of one latent for each image.
        """
        z = calling(f"{self.title}.encode failed", lambda: self.coder.encode(x))
        if not isinstance(z, Tensor) or z.ndim < 2 or len(z) != len(x) or not z.is_floating_point():
            found = f"{tuple(z.shape)} {z.dtype}" if isinstance(z, Tensor) else type(z).__name__
            raise InputError(
                f"{self.title}.encode returned {found} for images {tuple(x.shape)}; it must return"
                f" a float tensor whose first axis is {len(x)}"
            )
        return z

    def decode(self, z: Tensor) -> Tensor:
        """Return its images.

        Raises:
            InputError: it failed, or returned something else.
        """
        x = calling(f"{self.title}.decode failed", lambda: self.coder.decode(z))
        wanted = (len(z), 3, self.side, self.side)
        if not isinstance(x, Tensor) or tuple(x.shape) != wanted or not x.is_floating_point():
            found = f"{tuple(x.shape)} {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
            raise InputError(
                f"{self.title}.decode returned {found}; it must return a float tensor {wanted}, in"
                " [-1, 1]"
            )
        return x

    def rate(self, x: Tensor) -> Rate:
        """Return 8 bits for each value of a latent, as of other first stages without posterior."""
        bits = 8.0 * self.encode(x)[0].numel() / (x.shape[2] * x.shape[3])
        return Rate(torch.full((len(x),), bits, dtype=torch.float64))
