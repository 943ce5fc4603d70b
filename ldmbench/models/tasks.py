"""Tasks whose condition is made of a real image: super-resolution, inpainting, maps, layouts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ldmbench.data.batch import Floats, Ints, Pixels
from ldmbench.data.counter import draw_below, stream_keys
from ldmbench.data.resize import prepare
from ldmbench.errors import InputError
from ldmbench.registry import pick

__all__ = [
    "MASKS",
    "Truth",
    "class_map",
    "layout_tokens",
    "low_resolution",
    "masked",
    "painted",
    "to_paint",
]

MASKS = {
    "center": "a square of half the side in the middle",
    "boxes": "1 to 4 boxes anywhere, each 20 to 50 % of the side in height and in width",
}
"""Where an inpainting model is to paint; image i always has the same mask."""


@dataclass(frozen=True)
class Truth:
    """Real images that a task starts from.

    Attributes:
        indices: which items they are, (N,).
        images: uint8 NHWC.
        captions: N texts.
        labels: int64 (N,).
        boxes: float32 (N, K, 4), x0 y0 x1 y1 in [0, 1], -1 for absent; or None.
        box_labels: int64 (N, K), -1 for absent; or None.
        masks: uint8 (N, H, W), 0 is background, 1 + k is object k; or None.
    """

    indices: Ints
    images: Pixels
    captions: tuple[str, ...]
    labels: Ints
    boxes: Floats | None = None
    box_labels: Ints | None = None
    masks: Pixels | None = None

    @classmethod
    def blank(cls, side: int) -> Truth:
        """Return one black image with one object all over it, to count and to warm up with."""
        return cls(
            indices=np.zeros(1, np.int64),
            images=np.zeros((1, side, side, 3), np.uint8),
            captions=("",),
            labels=np.zeros(1, np.int64),
            boxes=np.array([[[0, 0, 1, 1]]], np.float32),
            box_labels=np.zeros((1, 1), np.int64),
            masks=np.ones((1, side, side), np.uint8),
        )


def low_resolution(images: Pixels, side: int, *, resize: str) -> Tensor:
    """Return images made small, (N, 3, side, side), float32 in [-1, 1].

    Args:
        images: uint8 NHWC, square.
        side: of the result.
        resize: a row of ldmbench.data.resize.RESIZES.
    """
    small = [prepare(image, side, crop="none", resize=resize) for image in images]
    return _signed(np.stack(small))


def to_paint(indices: Ints, side: int, *, mask: str) -> Pixels:
    """Return where to paint: uint8 (N, side, side), 1 there, else 0; a row of MASKS says how.

    The mask of an item depends on its index alone.

    Raises:
        InputError: there is no such row.
    """
    pick(MASKS, mask, "mask")
    found = np.zeros((len(indices), side, side), np.uint8)
    if mask == "center":
        edge = side // 4
        found[:, edge : side - edge, edge : side - edge] = 1
        return found
    keys = stream_keys("mask", 0, np.asarray(indices, np.int64))
    counts = 1 + draw_below(keys, 0, 4)
    least, spread = max(1, side // 5), max(1, side // 2 - side // 5 + 1)
    for box in range(4):
        height, width = (least + draw_below(keys, 1 + 4 * box + k, spread) for k in (0, 1))
        top = draw_below(keys, 3 + 4 * box, side - height + 1)
        left = draw_below(keys, 4 + 4 * box, side - width + 1)
        for i in np.flatnonzero(box < counts):
            found[i, top[i] : top[i] + height[i], left[i] : left[i] + width[i]] = 1
    return found


def masked(images: Pixels, paint: Pixels) -> Tensor:
    """Return masked images and masks for LDM's inpainting: (N, 4, H, W), float32.

    As the released script gives them: what is to be painted is black, -1; the mask is 1 there,
    else -1 (CompVis/latent-diffusion, scripts/inpaint.py).
    """
    hidden = _signed(images * (1 - paint[..., None]))
    return torch.cat([hidden, _mask(paint) * 2 - 1], dim=1)


def painted(images: Pixels, condition: Any) -> Pixels:
    """Return uint8 NHWC with the known pixels of `masked` back in place, as the script does."""
    known = condition[:, 3:] < 0
    truth = ((condition[:, :3] + 1) * 127.5).round().to(torch.uint8)
    pasted = torch.where(known, truth, torch.from_numpy(images).permute(0, 3, 1, 2).to(truth))
    out: Pixels = pasted.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return out


def class_map(truth: Truth, *, classes: int) -> Tensor:
    """Return ids (N, H, W), int64: 0 is background, 1 + c an object of class c.

    Raises:
        InputError: the images come without masks, or have more classes than the model.
    """
    if truth.masks is None or truth.box_labels is None:
        raise InputError("the dataset has no masks, and the model is told by a map of classes")
    table = np.concatenate([np.zeros((len(truth.masks), 1), np.int64), truth.box_labels + 1], 1)
    ids = np.take_along_axis(table, truth.masks.reshape(len(table), -1).astype(np.int64), 1)
    if ids.size and ids.max() >= classes:
        raise InputError(
            f"the dataset's maps have class {ids.max()}, but the model knows {classes}, background"
            " included"
        )
    return torch.from_numpy(ids.reshape(truth.masks.shape))


def layout_tokens(truth: Truth, *, length: int, vocabulary: int) -> Tensor:
    """Return boxes as tokens, int64 (N, length): class, top left, bottom right of each object.

    As LDM's layout models were trained (taming-transformers, ObjectsBoundingBoxConditionalBuilder):
    a corner is row x n + column on a grid of n = floor(sqrt(vocabulary)) places a side; absent
    objects are three times the last token; where two places are left over they hold the crop,
    here the whole image. Objects stand in the dataset's order, those that find no place are left
    out.

    Raises:
        InputError: the images come without boxes, or with a class that is no token.
    """
    if truth.boxes is None or truth.box_labels is None:
        raise InputError("the dataset has no boxes, and the model is told by a layout")
    none, side = vocabulary - 1, math.isqrt(vocabulary)
    objects, rest = divmod(length, 3)
    labels, boxes = truth.box_labels[:, :objects], truth.boxes[:, :objects]
    if labels.size and labels.max() >= none:
        raise InputError(
            f"the dataset has class {labels.max()}, but the model's layouts have {none} tokens"
        )
    at = np.rint(boxes.astype(np.float64) * (side - 1)).astype(np.int64)
    first, second = at[..., 1] * side + at[..., 0], at[..., 3] * side + at[..., 2]
    triples = np.where((labels < 0)[..., None], none, np.stack([labels, first, second], -1))
    tokens = np.full((len(labels), length), none, np.int64)
    tokens[:, : 3 * labels.shape[1]] = triples.reshape(len(labels), -1)
    if rest == 2:
        tokens[:, -2:] = 0, side * side - 1
    return torch.from_numpy(tokens)


def _signed(images: Pixels) -> Tensor:
    """Return NCHW float32 in [-1, 1] of uint8 NHWC."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _mask(paint: Pixels) -> Tensor:
    return torch.from_numpy(paint)[:, None].float()
