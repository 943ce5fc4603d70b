"""The batch: images with their captions, class labels, boxes and masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ldmbench.errors import InputError
from ldmbench.sources.images.source import Pixels

__all__ = ["Batch", "Floats", "Ints", "Pixels"]

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """N images and what is known about them.

    Attributes:
        images: uint8 NHWC, RGB, C order.
        captions: one text per image; "" where there is none.
        labels: int64 (N,), the class of each image.
        boxes: float32 (N, K, 4), x0 y0 x1 y1 in [0, 1], rows of -1 for absent objects; or None.
        box_labels: int64 (N, K), the class of each box, -1 for absent objects; or None.
        masks: uint8 (N, H, W), 0 is background, 1 + k is object k; or None.
    """

    images: Pixels
    captions: tuple[str, ...]
    labels: Ints
    boxes: Floats | None = None
    box_labels: Ints | None = None
    masks: Pixels | None = None

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            InputError: if the images are not uint8 NHWC RGB, or a part has another length.
        """
        if self.images.ndim != 4 or self.images.shape[3] != 3 or self.images.dtype != np.uint8:
            raise InputError(
                f"a batch holds uint8 images of shape (N, H, W, 3), found "
                f"{self.images.dtype} {self.images.shape}; convert them first"
            )
        for name in ("captions", "labels", "boxes", "box_labels", "masks"):
            part = getattr(self, name)
            if part is not None and len(part) != len(self.images):
                raise InputError(
                    f"a batch of {len(self.images)} images has {len(part)} {name}; "
                    "give one for each image"
                )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)
