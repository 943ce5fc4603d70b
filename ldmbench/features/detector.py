"""A DETR from disk: images to boxes with labels, as transformers' own pipeline finds them.

arXiv:2005.12872. Images are prepared by the processor of its folder, through Pillow: the one that
the published figures were made with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt
import torch

from ldmbench.features.from_transformers import answer, load_network
from ldmbench.sources.judges import DETECTOR

__all__ = ["Found", "ObjectDetector", "load_detector"]

Array = npt.NDArray[Any]
BATCH = 8
"""Images at a time. They are of one size, so nothing is padded and results do not depend on it."""


class Found(NamedTuple):
    """What a detector finds in one image: every query, the surest label of each.

    Attributes:
        scores: float32 (Q,), in [0, 1].
        labels: int64 (Q,).
        boxes: float32 (Q, 4), x0 y0 x1 y1 in [0, 1].
    """

    scores: Array
    labels: Array
    boxes: Array


class ObjectDetector:
    """A detector behind one call.

    Attributes:
        network: the DetrForObjectDetection.
        processor: prepares images.
        device: where the network runs.
    """

    def __init__(self, network: Any, processor: Any, *, device: str) -> None:
        self.network, self.processor, self.device = network, processor, torch.device(device)

    def find(self, images: Array) -> list[Found]:
        """Return what is found in images, uint8 (N, H, W, 3), RGB: no score is left out."""
        made: list[Found] = []
        for start in range(0, len(images), BATCH):
            made += self._part(list(images[start : start + BATCH]))
        return made

    @torch.inference_mode()
    def _part(self, images: list[Array]) -> list[Found]:
        out = answer(self.network, self.processor, images, device=self.device)
        scores, labels = out.logits.float().softmax(-1)[..., :-1].max(-1)
        middle, size = out.pred_boxes.float().split(2, dim=-1)
        boxes = torch.cat([middle - size / 2, middle + size / 2], dim=-1)
        parts = (part.cpu().numpy() for part in (scores, labels, boxes))
        return [Found(*one) for one in zip(*parts, strict=True)]


def load_detector(path: Path, *, sha256: str | None = None, device: str = "cpu") -> ObjectDetector:
    """Return a detector from its folder, frozen.

    Args:
        path: the folder.
        sha256: digest that was planned; None takes what is there.
        device: where its weights go.

    Raises:
        InputError: it cannot be loaded, lacks weights, or is not what was planned.
    """
    network, processor = load_network(DETECTOR, path, sha256=sha256, device=device)
    return ObjectDetector(network, processor, device=device)
