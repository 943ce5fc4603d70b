"""A sampler of the user's own behind the interface of a suite's models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldmbench.errors import InputError
from ldmbench.models.flops import count_flops
from ldmbench.models.subject import Work
from ldmbench.models.tasks import Truth
from ldmbench.plugins import calling
from ldmbench.schema.params import Sampling

__all__ = ["Called"]

Images = NDArray[np.uint8]


class Called:
    """A sampler of the user's own: `sample(noise, *, steps, cond, guidance, seeds)` or a function.

    Attributes:
        sampler: the object; its `shape` is that of the noise, else it is an image's.
        side: of the images.
        conditioning: none, class, caption or truth.
        title: what errors call it.
        device: where the noise lies.
        counted: whether `steps` are evaluations of its network, as its module says.

    Raises:
        InputError: it cannot sample, or its attribute `to` failed.
    """

    def __init__(
        self,
        sampler: Any,
        *,
        side: int,
        conditioning: str,
        title: str,
        device: str = "cpu",
        counted: bool = False,
    ) -> None:
        self.sampler, self.side, self.device = sampler, side, device
        self.counted = counted
        self.conditioning, self.title = conditioning, title
        if not callable(getattr(sampler, "sample", sampler)):
            raise InputError(f"{title} is no function and has no method `sample`; see extending.md")
        if callable(getattr(sampler, "to", None)):
            calling(f"{title}.to failed", lambda: sampler.to(device))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape it states, or (3, side, side)."""
        stated = getattr(self.sampler, "shape", (3, self.side, self.side))
        try:
            channels, height, width = (int(n) for n in stated)
        except (TypeError, ValueError):
            raise InputError(f"{self.title}: its shape is {stated}; it must be (C, h, w)") from None
        if min(channels, height, width) < 1:
            raise InputError(f"{self.title}: its shape is {stated}; each number must be positive")
        return channels, height, width

    @property
    def needs_truth(self) -> bool:
        """Tell whether it takes real images."""
        return self.conditioning == "truth"

    def condition(
        self, *, captions: Sequence[str] | None, labels: Any | None, truth: Truth | None = None
    ) -> Any:
        """Return what the suite's `conditioning` says.

        Labels (N,) int64, a list of captions, a mapping of what is known of real images (images,
        captions, labels, boxes, box_labels, masks, indices), or None.
        """
        if self.conditioning == "class":
            return torch.as_tensor(labels, dtype=torch.int64)
        if self.conditioning == "truth":
            assert truth is not None
            return dict(vars(truth))
        return list(captions or ()) if self.conditioning == "caption" else None

    def draw(
        self, noise: Tensor, *, condition: Any, params: Sampling, seeds: Sequence[int]
    ) -> Images:
        """Call it and hold what it returns to uint8 NHWC.

        Raises:
            InputError: it failed, or returned something else.
        """
        call = getattr(self.sampler, "sample", self.sampler)
        arguments: dict[str, Any] = {"steps": params.steps, "guidance": params.guidance}
        arguments |= {"cond": condition, "seeds": list(seeds)}
        made = calling(f"{self.title} failed", lambda: call(noise, **arguments))
        wanted = (len(noise), self.side, self.side, 3)
        try:
            images = np.asarray(made.detach().cpu() if isinstance(made, Tensor) else made)
        except (TypeError, ValueError):
            images = np.empty(0, object)
        if images.shape != wanted or images.dtype != np.uint8:
            found = f"{images.shape} {images.dtype}" if images.size else type(made).__name__
            raise InputError(
                f"{self.title} returned {found}; it must return {wanted} uint8, which is NHWC in"
                " 0..255"
            )
        return images

    @torch.no_grad()
    def work(self, params: Sampling) -> Work:
        """Count the FLOPs of one image as it runs, and evaluations where the code says them."""
        noise = torch.zeros((1, *self.shape), device=self.device)
        cond = self.condition(captions=[""], labels=[0], truth=Truth.blank(self.side))
        whole = count_flops(lambda: self.draw(noise, condition=cond, params=params, seeds=[0]))
        return Work(whole=whole, evaluations=params.steps if self.counted else None)
