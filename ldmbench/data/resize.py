"""Named, versioned ways to bring a picture to a square of one size; a published name never changes.

uint8 HWC -> uint8 HWC. What the loaders of the literature do, in these names:
LSUN (CompVis): crop `lsun`, resize `pil-bicubic`. CelebA-HQ, FFHQ, ImageNet (taming-transformers):
crop `shortest`, resize `linear`. guided-diffusion (ADM): crop `adm`, resize `pil-bicubic`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from ldmbench.data.batch import Pixels
from ldmbench.errors import InputError
from ldmbench.registry import pick

__all__ = ["CROPS", "RESIZES", "Crop", "Resize", "prepare", "recipe", "resized"]

Resizing: TypeAlias = Callable[[Pixels, int, int], Pixels]
Weights: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Resize:
    """A way to change the size of uint8 HWC to a given height and width."""

    version: int
    apply: Resizing


@dataclass(frozen=True)
class Crop:
    """A way to bring uint8 HWC to (resolution, resolution) with the help of a resizer."""

    version: int
    apply: Callable[[Pixels, int, Resizing], Pixels]


def prepare(
    image: Pixels, resolution: int, *, crop: str, resize: str, upscale: bool = False
) -> Pixels:
    """Crop and resize one picture.

    Args:
        image: uint8 HWC, RGB.
        resolution: side of the result in pixels.
        crop: a row of CROPS.
        resize: a row of RESIZES.
        upscale: whether a picture whose shorter side is below `resolution` may be enlarged.

    Returns:
        uint8 (resolution, resolution, 3), C order.

    Raises:
        InputError: if a name is unknown, the picture is too small and `upscale` is off, or the
            crop is `none` and the picture is not square.
    """
    how, by = pick(CROPS, crop, "crop"), pick(RESIZES, resize, "resize")
    height, width = image.shape[:2]
    if min(height, width) < resolution and not upscale:
        raise InputError(
            f"is {width} x {height} pixels, smaller than the resolution {resolution}; "
            "lower the resolution, remove the image, or allow upscale: true"
        )
    return np.ascontiguousarray(how.apply(image, resolution, by.apply))


def resized(image: Pixels, sides: tuple[int, int], *, resize: str) -> Pixels:
    """Resize one picture, which must not be smaller.

    Args:
        image: uint8 HWC, RGB.
        sides: height and width of the result.
        resize: a row of RESIZES.

    Raises:
        InputError: the name is unknown, or the picture is smaller.
    """
    by = pick(RESIZES, resize, "resize")
    if image.shape[0] < sides[0] or image.shape[1] < sides[1]:
        raise InputError(
            f"an image of {image.shape[1]} x {image.shape[0]} pixels is smaller than the"
            f" {sides[1]} x {sides[0]} that it is to be made small to"
        )
    return np.ascontiguousarray(by.apply(image, *sides))


def recipe(crop: str, resize: str) -> str:
    """Return what a key or a signature says of a preparation: names and versions.

    Raises:
        InputError: if a name is unknown.
    """
    how, by = pick(CROPS, crop, "crop"), pick(RESIZES, resize, "resize")
    return f"crop:{crop}@{how.version}|resize:{resize}@{by.version}"


def _square(image: Pixels) -> Pixels:
    """Cut the largest square around the centre; odd remainders go to the right and the bottom."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _center(image: Pixels, resolution: int, resize: Resizing) -> Pixels:
    return resize(_square(image), resolution, resolution)


def _none(image: Pixels, resolution: int, resize: Resizing) -> Pixels:
    height, width = image.shape[:2]
    if height != width:
        raise InputError(
            f"is {width} x {height} pixels, which crop: none does not make square; use crop: center"
        )
    return resize(image, resolution, resolution)


def _shortest(image: Pixels, resolution: int, resize: Resizing) -> Pixels:
    """Bring the shorter side to the resolution, then cut the centre."""
    height, width = image.shape[:2]
    scale = resolution / min(height, width)
    return _square(resize(image, round(height * scale), round(width * scale)))


def _torchvision(image: Pixels, resolution: int, resize: Resizing) -> Pixels:
    """Bring the shorter side to the resolution, cut the centre: torchvision's Resize, CenterCrop.

    The longer side is truncated, and the margin at top and left rounded half to even.
    """
    height, width = image.shape[:2]
    short = min(height, width)
    sides = (int(resolution * height / short), int(resolution * width / short))
    large = resize(image, *sides)
    top, left = (round((side - resolution) / 2) for side in sides)
    return large[top : top + resolution, left : left + resolution]


def _var(image: Pixels, resolution: int, resize: Resizing) -> Pixels:
    """Bring the shorter side to 1.125 x the resolution, then cut the centre: a tighter view."""
    height, width = image.shape[:2]
    scale = round(1.125 * resolution) / min(height, width)
    large = resize(image, round(height * scale), round(width * scale))
    top, left = ((side - resolution) // 2 for side in large.shape[:2])
    return large[top : top + resolution, left : left + resolution]


def _squash(image: Pixels, resolution: int, resize: Resizing) -> Pixels:
    """Bring both sides to the resolution; the aspect is not kept."""
    return resize(image, resolution, resolution)


def _adm(image: Pixels, resolution: int, resize: Resizing) -> Pixels:
    """Halve with a box while both sides stay at 2 x resolution or more, then `shortest`."""
    while min(image.shape[:2]) >= 2 * resolution:
        image = _pil_box(image, image.shape[0] // 2, image.shape[1] // 2)
    return _shortest(image, resolution, resize)


def _pil(method: Image.Resampling) -> Resizing:
    def resize(image: Pixels, height: int, width: int) -> Pixels:
        if image.shape[:2] == (height, width):
            return image
        picture = Image.fromarray(np.ascontiguousarray(image))
        return np.asarray(picture.resize((width, height), method))

    return resize


_pil_box = _pil(Image.Resampling.BOX)


def _area(image: Pixels, height: int, width: int) -> Pixels:
    """Average over the exact area that a new pixel covers, parts of pixels included."""
    rows, columns = _area_weights(image.shape[0], height), _area_weights(image.shape[1], width)
    return _weighted(image, rows, columns)


def _linear(image: Pixels, height: int, width: int) -> Pixels:
    """Interpolate between the four nearest pixels, without antialiasing, centres at one half."""
    rows, columns = _linear_weights(image.shape[0], height), _linear_weights(image.shape[1], width)
    return _weighted(image, rows, columns)


def _tensor_linear(image: Pixels, height: int, width: int) -> Pixels:
    """Filter by a triangle as wide as a new pixel, rounded once: torch's antialiased bilinear."""
    rows, columns = _triangles(image.shape[0], height), _triangles(image.shape[1], width)
    return _weighted(image, rows, columns)


def _triangles(old: int, new: int) -> Weights:
    scale = old / new
    centres, reach = (np.arange(new) + 0.5) * scale, max(scale, 1.0)
    distance = np.abs(np.arange(old)[None] + 0.5 - centres[:, None]) / reach
    overlap = np.clip(1 - distance, 0, None)
    weights: Weights = overlap / overlap.sum(axis=1, keepdims=True)
    return weights


def _weighted(image: Pixels, rows: Weights, columns: Weights) -> Pixels:
    mixed = np.tensordot(rows, image.astype(np.float64), axes=(1, 0))
    mixed = np.tensordot(mixed, columns, axes=(1, 1)).transpose(0, 2, 1)
    # sums of weights are 1 to about 1e-15; a tie must not depend on the order they were added in
    nearest: Pixels = np.clip(np.floor(mixed.round(9) + 0.5), 0, 255).astype(np.uint8)
    return nearest


def _area_weights(old: int, new: int) -> Weights:
    edges = np.arange(new + 1) * (old / new)
    cells = np.arange(old)
    low, high = edges[:-1, None], edges[1:, None]
    overlap = np.clip(np.minimum(high, cells + 1) - np.maximum(low, cells), 0, None)
    weights: Weights = overlap / overlap.sum(axis=1, keepdims=True)
    return weights


def _linear_weights(old: int, new: int) -> Weights:
    at = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    below = np.minimum(np.floor(at).astype(int), max(old - 2, 0))
    weights = np.zeros((new, old))
    rows = np.arange(new)
    weights[rows, below] = 1 - (at - below)
    weights[rows, np.minimum(below + 1, old - 1)] += at - below
    return weights


# fmt: off
RESIZES: Mapping[str, Resize] = {
    "pil-nearest":  Resize(1, _pil(Image.Resampling.NEAREST)),
    "pil-box":      Resize(1, _pil_box),
    "pil-bilinear": Resize(1, _pil(Image.Resampling.BILINEAR)),
    "pil-hamming":  Resize(1, _pil(Image.Resampling.HAMMING)),
    "pil-bicubic":  Resize(1, _pil(Image.Resampling.BICUBIC)),
    "pil-lanczos":  Resize(1, _pil(Image.Resampling.LANCZOS)),
    "area":         Resize(1, _area),
    "linear":       Resize(1, _linear),
    "tensor-linear": Resize(1, _tensor_linear),
}
CROPS: Mapping[str, Crop] = {
    "center":   Crop(1, _center),
    "lsun":     Crop(1, _center),
    "shortest": Crop(1, _shortest),
    "adm":      Crop(1, _adm),
    "var":      Crop(1, _var),
    "squash":   Crop(1, _squash),
    "torchvision": Crop(1, _torchvision),
    "none":     Crop(1, _none),
}
# fmt: on
