"""What a loaded model is shown: images, maps and masks become its network's inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ldmbench.errors import InputError
from ldmbench.models.conditions import Inputs, Prompts, labels_of, null_labels
from ldmbench.sample import Schedule

__all__ = [
    "AlignedImage",
    "EncodedImage",
    "FittedImage",
    "MaskedImage",
    "MaskedPrompt",
    "SemanticMap",
    "UpscaledPrompt",
]

Given = Mapping[str, str]
DEFAULT_NOISE_LEVEL = 20
"""Of the low-resolution image, as the source's pipeline has it."""


@dataclass(frozen=True)
class AlignedImage:
    """An image of the latent's height and width that joins it (super-resolution).

    Attributes:
        channels: of it.
        given: how it was made of real images in training, where that is known.
    """

    channels: int
    kind: str = "image"
    given: Given = field(default_factory=dict)

    def inputs(self, cond: object, z: torch.Tensor) -> Inputs:
        """Return concat (B, channels, h, w); cond: the same, in [-1, 1]."""
        wanted = (z.shape[0], self.channels, *z.shape[2:])
        return {"concat": _shaped(cond, z, wanted, "the low-resolution image")}

    def null(self, cond: object, z: torch.Tensor) -> object:
        """Return zeros."""
        return torch.zeros_like(torch.as_tensor(cond))

    def parts(self) -> dict[str, nn.Module]:
        """Return no networks."""
        return {}


@dataclass(frozen=True)
class FittedImage:
    """A small image of another side than the latent joins it (super-resolution).

    It is enlarged bilinearly, as guided-diffusion's upsampling has it, or folded where it is the
    larger one: each square of its pixels becomes channels, so that nothing is lost.

    Attributes:
        small: side of the small image.
        large: side of the latent, at the resolution of training.
        classes: how many labels there are, or None for a model without.
        given: how it was made of real images in training, where that is known.
    """

    small: int
    large: int
    classes: int | None = None
    given: Given = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Return image, or class-image where it takes labels too."""
        return "image" if self.classes is None else "class-image"

    def inputs(self, cond: object, z: torch.Tensor) -> Inputs:
        """Return concat (B, c, H, W), and labels (B,) where the model has classes.

        cond: the small image (B, 3, h, w) in [-1, 1], or {"labels": (B,), "image": the same}.
        """
        given: Inputs = {}
        if self.classes is not None:
            parts = _fields(cond, ("labels", "image"))
            given["labels"] = labels_of(parts["labels"], z, classes=self.classes)
            cond = parts["image"]
        wanted = (z.shape[0], 3, *(s * self.small // self.large for s in z.shape[2:]))
        image = _shaped(cond, z, wanted, "the low-resolution image")
        if self.small > self.large:
            return given | {
                "concat": nn.functional.pixel_unshuffle(image, self.small // self.large)
            }
        size = (z.shape[2], z.shape[3])
        return given | {"concat": nn.functional.interpolate(image, size, mode="bilinear")}

    def null(self, cond: object, z: torch.Tensor) -> object:
        """Return zeros; a model with classes has none that stands for no class."""
        if self.classes is not None:
            return null_labels(None, z)
        return torch.zeros_like(torch.as_tensor(cond))

    def parts(self) -> dict[str, nn.Module]:
        """Return no networks."""
        return {}


@dataclass(frozen=True)
class SemanticMap:
    """A one-hot class map at image size, rescaled to the latent's size and joined to it."""

    rescaler: Any
    kind: str = "semantic"

    def inputs(self, cond: object, z: torch.Tensor) -> Inputs:
        """Return concat (B, c, h, w); cond: one-hot (B, classes, H, W), or ids (B, H, W)."""
        if cond is None:
            raise InputError("the model is conditioned on a map; give cond, ids (B, H, W)")
        given = torch.as_tensor(cond)
        classes = int(self.rescaler.config.in_channels)
        if given.ndim == 3 and not given.is_floating_point():
            given = nn.functional.one_hot(given.long(), classes).permute(0, 3, 1, 2)
        if given.ndim != 4 or given.shape[1] != classes:
            raise InputError(
                f"the semantic map must be (B, {classes}, H, W) one-hot or (B, H, W) ids, "
                f"found {tuple(given.shape)}"
            )
        found = self.rescaler(given.to(z))
        return {"concat": _shaped(found, z, (z.shape[0], found.shape[1], *z.shape[2:]), "the map")}

    def null(self, cond: object, z: torch.Tensor) -> object:
        """Return a one-hot map of no class anywhere."""
        given = torch.as_tensor(cond)
        if given.ndim == 4:
            return torch.zeros_like(given)
        shape = (len(given), int(self.rescaler.config.in_channels), *given.shape[1:])
        return torch.zeros(shape, dtype=z.dtype)

    def parts(self) -> dict[str, nn.Module]:
        """Return the rescaler."""
        return {"rescaler": self.rescaler}


@dataclass(frozen=True)
class MaskedImage:
    """LDM inpainting: the masked image's latent and the mask, joined to the noisy latent.

    Attributes:
        encode: image (B, 3, H, W) in [-1, 1] -> latent, not scaled, as the original does.
        channels: latent channels and one for the mask.
        given: how masks were drawn in training, where that is known.
    """

    encode: Callable[[torch.Tensor], torch.Tensor]
    channels: int
    kind: str = "inpainting"
    given: Given = field(default_factory=dict)

    def inputs(self, cond: object, z: torch.Tensor) -> Inputs:
        """Return concat (B, channels, h, w).

        cond: {"image": masked or whole image, "mask": 1 or -1 ... }, or (B, 4, H, W): the masked
        image and the mask (1 where to paint, else -1), or (B, channels, h, w) ready made.
        """
        if isinstance(cond, Mapping):
            parts = _fields(cond, ("image", "mask"))
            cond = torch.cat([parts["image"], parts["mask"]], dim=1)
        if cond is None:
            raise InputError("the model paints over masks; give cond, masked image and mask")
        given = torch.as_tensor(cond).to(z)
        ready = (z.shape[0], self.channels, *z.shape[2:])
        if tuple(given.shape) != ready:
            if given.ndim != 4 or given.shape[1] != 4:
                raise InputError(
                    f"the inpainting condition must be {ready}, or (B, 4, H, W): masked image and "
                    f"mask, found {tuple(given.shape)}"
                )
            latent = self.encode(given[:, :3])
            mask = nn.functional.interpolate(given[:, 3:], size=latent.shape[-2:])
            given = torch.cat([latent, mask], dim=1)
        return {"concat": _shaped(given, z, ready, "the masked latent")}

    def null(self, cond: object, z: torch.Tensor) -> object:
        """Return zeros of the joined size."""
        return torch.zeros((z.shape[0], self.channels, *z.shape[2:]), dtype=z.dtype)

    def parts(self) -> dict[str, nn.Module]:
        """Return no networks; the first stage is counted once."""
        return {}


@dataclass(frozen=True)
class EncodedImage:
    """An image whose latent joins the noisy one (image to image).

    Attributes:
        encode: image (B, 3, H, W) in [-1, 1] -> latent, not scaled.
        channels: of a latent.
        given: how the image was made of a real one in training, where that is known.
    """

    encode: Callable[[torch.Tensor], torch.Tensor]
    channels: int
    kind: str = "image-to-image"
    given: Given = field(default_factory=dict)

    def inputs(self, cond: object, z: torch.Tensor) -> Inputs:
        """Return concat (B, channels, h, w); cond: the image (B, 3, H, W), or its latent."""
        if cond is None:
            raise InputError("the model turns an image into another; give cond, (B, 3, H, W)")
        given = torch.as_tensor(cond).to(z)
        ready = (z.shape[0], self.channels, *z.shape[2:])
        if tuple(given.shape) != ready:
            given = self.encode(given)
        return {"concat": _shaped(given, z, ready, "the image's latent")}

    def null(self, cond: object, z: torch.Tensor) -> object:
        """Return zeros of the joined size."""
        return torch.zeros((z.shape[0], self.channels, *z.shape[2:]), dtype=z.dtype)

    def parts(self) -> dict[str, nn.Module]:
        """Return no networks; the first stage is counted once."""
        return {}


@dataclass(frozen=True)
class MaskedPrompt:
    """Stable Diffusion inpainting: a prompt, a mask and the masked image's latent.

    Attributes:
        encode: image (B, 3, H, W) in [-1, 1] -> scaled latent.
    """

    prompts: Prompts
    encode: Callable[[torch.Tensor], torch.Tensor]
    kind: str = "inpainting"

    def inputs(self, cond: object, z: torch.Tensor) -> Inputs:
        """Return context and concat.

        cond: {"prompt": texts, "image": (B, 3, H, W) in [-1, 1], "mask": (B, 1, H, W), 1 where to
        paint}.
        """
        parts = _fields(cond, ("prompt", "image", "mask"))
        mask = parts["mask"].to(z)
        latent = self.encode(parts["image"].to(z) * (mask < 0.5))
        small = nn.functional.interpolate(mask, size=z.shape[-2:])
        return self.prompts.inputs(parts["prompt"], z) | {"concat": torch.cat([small, latent], 1)}

    def null(self, cond: object, z: torch.Tensor) -> object:
        """Return the same picture under the empty prompt."""
        return {**_fields(cond, ("prompt",)), "prompt": [""] * z.shape[0]}

    def parts(self) -> dict[str, nn.Module]:
        """Return the text encoder."""
        return self.prompts.parts()


@dataclass(frozen=True)
class UpscaledPrompt:
    """Stable Diffusion upscaling: a prompt, the low-resolution image and its noise level.

    Attributes:
        prompts: the text encoder.
        noising: the forward process that blurs the low-resolution image (low_res_scheduler).
        largest: the largest noise level (max_noise_level).
    """

    prompts: Prompts
    noising: Schedule | None = None
    largest: int = 350
    kind: str = "upscaling"

    def inputs(self, cond: object, z: torch.Tensor) -> Inputs:
        """Return context, concat and labels.

        cond: {"prompt": texts, "image": (B, 3, h, w) in [-1, 1] at the latent's size,
        "noise_level": integer, 20 if not given, "noise": (B, 3, h, w) of N(0, 1) that the image is
        blurred with at that level}; without "noise" the image is taken as blurred already.
        """
        parts = _fields(cond, ("prompt", "image"))
        level = int(parts.get("noise_level", DEFAULT_NOISE_LEVEL))
        if not 0 <= level <= self.largest:
            raise InputError(f"noise_level must lie in [0, {self.largest}], found {level}")
        wanted = (z.shape[0], 3, *z.shape[2:])
        image = _shaped(parts["image"], z, wanted, "the low-resolution image")
        if parts.get("noise") is not None:
            image = self._blurred(image, _shaped(parts["noise"], z, wanted, "its noise"), level)
        labels = torch.full((z.shape[0],), level, device=z.device)
        return self.prompts.inputs(parts["prompt"], z) | {"concat": image, "labels": labels}

    def _blurred(self, image: torch.Tensor, noise: torch.Tensor, level: int) -> torch.Tensor:
        """Return the image at a step of its forward process (arXiv:2006.11239, eq. 4)."""
        if self.noising is None:
            raise InputError(
                "the model's folder has no low_res_scheduler, so that its image cannot be "
                "blurred; blur it yourself and leave out 'noise'"
            )
        kept = float(self.noising.alphas_cumprod()[level])
        return float(kept**0.5) * image + float((1 - kept) ** 0.5) * noise

    def null(self, cond: object, z: torch.Tensor) -> object:
        """Return the same picture under the empty prompt."""
        return {**_fields(cond, ("prompt",)), "prompt": [""] * z.shape[0]}

    def parts(self) -> dict[str, nn.Module]:
        """Return the text encoder."""
        return self.prompts.parts()


def _shaped(given: object, z: torch.Tensor, wanted: tuple[int, ...], what: str) -> torch.Tensor:
    if given is None:
        raise InputError(f"the model needs {what} as cond, {wanted}")
    tensor = torch.as_tensor(given).to(z)
    if tuple(tensor.shape) != wanted:
        raise InputError(f"{what} must be {wanted}, found {tuple(tensor.shape)}")
    return tensor


def _fields(cond: object, names: tuple[str, ...]) -> Mapping[str, Any]:
    """Return a condition that has several parts, or say which are missing."""
    if not isinstance(cond, Mapping) or any(name not in cond for name in names):
        raise InputError(f"cond must be a mapping with {', '.join(names)}")
    return cond
