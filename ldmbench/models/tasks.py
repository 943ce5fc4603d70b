"""Tasks whose condition is made of a real image: super-resolution, inpainting, maps, layouts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as fn
from torch import Tensor

from ldmbench.catalog.tasks import GIVEN
from ldmbench.data.batch import Floats, Ints, Pixels
from ldmbench.data.masks import to_paint
from ldmbench.data.resize import resized
from ldmbench.data.windows import centred
from ldmbench.errors import InputError
from ldmbench.sample.noise import initial_noise

__all__ = [
    "Truth",
    "blurred",
    "class_map",
    "condition_of",
    "layout_tokens",
    "low_resolution",
    "masked",
    "painted",
]

BLUR_SEED = 1 << 34
"""Of the noise that blurs what is upscaled, so that it is none that images start from."""


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
    def blank(cls, height: int, width: int | None = None) -> Truth:
        """Return one black image with one object all over it, to count and to warm up with."""
        width = width or height
        return cls(
            indices=np.zeros(1, np.int64),
            images=np.zeros((1, height, width, 3), np.uint8),
            captions=("",),
            labels=np.zeros(1, np.int64),
            boxes=np.array([[[0, 0, 1, 1]]], np.float32),
            box_labels=np.zeros((1, 1), np.int64),
            masks=np.ones((1, height, width), np.uint8),
        )


def condition_of(
    condition: Any,
    truth: Truth,
    given: Mapping[str, str],
    *,
    side: int,
    seed: int = 0,
    factors: tuple[int, int] = (1, 1),
) -> Any:
    """Return a model's conditions made of real images: the one maker for samples and for training.

    Args:
        condition: of the model, of a kind in FROM_TRUTH.
        truth: the images and what is known of them.
        given: how it is made of them, where that is not as in training; else as in GIVEN.
        side: of the model's latents in training.
        seed: of masks; 0 for samples.
        factors: height and width of the images in those of training.

    Raises:
        InputError: the images lack what the task needs.
    """
    kind, given = condition.kind, {**GIVEN, **getattr(condition, "given", {}), **given}
    if kind == "layout":
        config = condition.encoder.config
        places, words = int(config.max_position_embeddings), int(config.vocab_size)
        return layout_tokens(truth, length=places, vocabulary=words)
    if kind == "semantic":
        return class_map(truth, classes=int(condition.rescaler.config.in_channels))
    if kind == "image-to-image":
        return blurred(truth.images, float(given["blur"]))
    if kind == "inpainting":
        height, width = truth.images.shape[1:3]
        square = to_paint(truth.indices, max(height, width), mask=given["mask"], seed=seed)
        joined = masked(truth.images, centred(square, (height, width)))
        if not hasattr(condition, "prompts"):
            return joined
        parts = {"image": joined[:, :3], "mask": (joined[:, 3:] + 1) / 2}
        return {"prompt": list(truth.captions), **parts}
    side = int(getattr(condition, "small", side))
    sides = side * factors[0], side * factors[1]
    small = low_resolution(truth.images, sides, resize=given["downscale"])
    if kind == "image":
        return small
    cond: dict[str, Any] = {"prompt": list(truth.captions), "image": small}
    if getattr(condition, "noising", None) is not None:
        drawn = truth.indices.tolist()
        cond["noise"] = initial_noise(drawn, seed=BLUR_SEED, shape=(3, *sides))
    return cond


def blurred(images: Pixels, sigma: float) -> Tensor:
    """Return images under a Gaussian blur, (N, 3, H, W), float32 in [-1, 1].

    The kernel ends at three standard deviations; borders are repeated.

    Args:
        images: uint8 NHWC.
        sigma: its standard deviation, pixels.
    """
    x, reach = _signed(images), math.ceil(3 * sigma)
    at = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    for weights, pad in (
        (kernel, (reach, reach, 0, 0)),
        (kernel.transpose(2, 3), (0, 0, reach, reach)),
    ):
        x = fn.conv2d(fn.pad(x, pad, mode="replicate"), weights, groups=3)
    return x


def low_resolution(images: Pixels, sides: tuple[int, int], *, resize: str) -> Tensor:
    """Return images made small, (N, 3, height, width), float32 in [-1, 1].

    Args:
        images: uint8 NHWC.
        sides: height and width of the result.
        resize: a row of ldmbench.data.resize.RESIZES.
    """
    small = [resized(image, sides, resize=resize) for image in images]
    return _signed(np.stack(small))


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
        raise InputError("the dataset has no masks, and the model takes a map of classes")
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
        raise InputError("the dataset has no boxes, and the model takes a layout")
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
