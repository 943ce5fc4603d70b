"""Named resizers: uint8 images in, float images at an extractor's side out.

Every resizer takes uint8 NHWC and returns float32 NCHW in [0, 255]; the name in RESIZERS is what a
signature prints. Pillow's run on the CPU, before images are copied to a device; torch's after that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as fn
from cleanfid.resize import make_resizer
from PIL import Image

__all__ = [
    "RESIZERS",
    "Resizer",
    "bicubic_aa",
    "bilinear_aa",
    "pil_bicubic",
    "pil_bicubic_crop",
    "pil_bicubic_rgb",
    "tf_bilinear",
]

Resize: TypeAlias = Callable[[torch.Tensor, int], torch.Tensor]


def _unchanged(images: torch.Tensor, side: int) -> torch.Tensor:
    return images


@dataclass(frozen=True)
class Resizer:
    """A resizer in two parts, each (images, side) -> images.

    Attributes:
        before: on the CPU, uint8 NHWC; for each image by itself.
        after: on the device, of what `before` returned.
    """

    before: Resize = _unchanged
    after: Resize = _unchanged

    def __call__(self, images: torch.Tensor, side: int) -> torch.Tensor:
        """Return float32 NCHW in [0, 255] of uint8 NHWC on the CPU."""
        return self.after(self.before(images, side), side)


def tf_bilinear(images: torch.Tensor, side: int) -> torch.Tensor:
    """Resize as TensorFlow 1's `ResizeBilinear(align_corners=False)` does, no antialiasing.

    Args:
        images: uint8 NHWC.
        side: of the output in pixels.

    Returns:
        float32 NCHW in [0, 255].
    """
    # the package imports torchvision: seconds that other extractors need not wait
    from torch_fidelity.interpolate_compat_tensorflow import (
        interpolate_bilinear_2d_like_tensorflow1x,
    )

    resized: torch.Tensor = interpolate_bilinear_2d_like_tensorflow1x(
        _to_float(images), size=(side, side), align_corners=False
    )
    return resized


def pil_bicubic(images: torch.Tensor, side: int) -> torch.Tensor:
    """Resize as clean-fid's "clean" mode does: Pillow, bicubic, antialiased, never re-quantised.

    Each channel goes through a 32-bit float image, is clipped to [0, 255] and kept as float32
    (Parmar et al. 2022, "On Aliased Resizing", section 4).

    Args:
        images: uint8 NHWC.
        side: of the output in pixels.

    Returns:
        float32 NCHW in [0, 255].
    """
    resize = make_resizer("PIL", False, "bicubic", (side, side))
    resized = np.empty((len(images), side, side, 3), dtype=np.float32)
    for image, target in zip(images.numpy(), resized):
        target[:] = resize(image)
    return torch.from_numpy(resized).permute(0, 3, 1, 2)


def pil_bicubic_crop(images: torch.Tensor, side: int) -> torch.Tensor:
    """Resize the shorter side with Pillow's bicubic filter on 8-bit RGB, then crop the centre.

    This is the evaluation transform of CLIP (Radford et al. 2021) and of the DINOv2 model cards.

    Args:
        images: uint8 NHWC.
        side: of the output in pixels.

    Returns:
        uint8 NHWC.
    """
    height, width = images.shape[1:3]
    short = min(height, width)
    size = (width * side // short, height * side // short)
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    out = np.empty((len(images), side, side, 3), dtype=np.uint8)
    for image, target in zip(images.numpy(), out):
        resized = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
        target[:] = np.asarray(resized)[top : top + side, left : left + side]
    return torch.from_numpy(out)


def pil_bicubic_rgb(images: torch.Tensor, side: int) -> torch.Tensor:
    """Resize both sides with Pillow's bicubic filter on 8-bit RGB, as torchvision's Resize does.

    dgm-eval (arXiv:2306.04675) prepares images for DINOv2 so, open_clip those for SigLIP.

    Args:
        images: uint8 NHWC.
        side: of the output in pixels.

    Returns:
        uint8 NHWC.
    """
    out = np.empty((len(images), side, side, 3), dtype=np.uint8)
    for image, target in zip(images.numpy(), out):
        resized = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
        target[:] = np.asarray(resized)
    return torch.from_numpy(out)


def bicubic_aa(images: torch.Tensor, side: int) -> torch.Tensor:
    """Resize with torch's antialiased bicubic filter, not clipped, as EDM2 and FD-loss do.

    Args:
        images: uint8 NHWC.
        side: of the output in pixels.

    Returns:
        float32 NCHW about [0, 255]; the filter overshoots at edges.
    """
    x = _to_float(images)
    if x.shape[2:] == (side, side):
        return x
    return fn.interpolate(x, (side, side), mode="bicubic", antialias=True)


def bilinear_aa(images: torch.Tensor, side: int) -> torch.Tensor:
    """Resize with torch's antialiased bilinear filter; images that have the side are unchanged.

    Args:
        images: uint8 NHWC.
        side: of the output in pixels.

    Returns:
        float32 NCHW in [0, 255].
    """
    x = _to_float(images)
    if x.shape[2:] == (side, side):
        return x
    return fn.interpolate(x, (side, side), mode="bilinear", antialias=True)


def _to_float(images: torch.Tensor, side: int = 0) -> torch.Tensor:
    return images.permute(0, 3, 1, 2).contiguous().float()


RESIZERS: dict[str, Resizer] = {
    "tf-bilinear": Resizer(after=tf_bilinear),
    "pil-bicubic-float": Resizer(before=pil_bicubic),
    "pil-bicubic-crop": Resizer(before=pil_bicubic_crop, after=_to_float),
    "pil-bicubic": Resizer(before=pil_bicubic_rgb, after=_to_float),
    "torch-bilinear-aa": Resizer(after=bilinear_aa),
    "torch-bicubic-aa": Resizer(after=bicubic_aa),
}
