"""A segmenter from disk: images to maps of labels, as its own processor in transformers makes them.

Images are prepared by the processor of its folder, through Pillow; maps have the size of the
images, by the processor's `post_process_semantic_segmentation`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ldmbench.features.from_transformers import answer, load_network
from ldmbench.sources.judges import SEGMENTER

__all__ = ["MapSegmenter", "load_map_segmenter"]

BATCH = 8
"""Images at a time. They are of one size, so nothing is padded and results do not depend on it."""


class MapSegmenter:
    """A segmenter behind one call.

    Attributes:
        network: one of the classes of SEGMENTER.
        processor: prepares images and makes maps.
        device: where the network runs.
    """

    def __init__(self, network: Any, processor: Any, *, device: str) -> None:
        self.network, self.processor, self.device = network, processor, torch.device(device)

    def read(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """Return the label of each pixel, int64 (N, H, W).

        Args:
            images: uint8 (N, H, W, 3), RGB.
        """
        parts = [self._part(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
        return np.concatenate(parts)

    @torch.inference_mode()
    def _part(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        out = answer(self.network, self.processor, list(images), device=self.device)
        sizes = [images.shape[1:3]] * len(images)
        maps = self.processor.post_process_semantic_segmentation(out, target_sizes=sizes)
        return np.asarray(torch.stack(maps).cpu().numpy(), dtype=np.int64)


def load_map_segmenter(
    path: Path, *, sha256: str | None = None, device: str = "cpu"
) -> MapSegmenter:
    """Return a segmenter from its folder, frozen.

    Args:
        path: the folder.
        sha256: digest that was planned; None takes what is there.
        device: where its weights go.

    Raises:
        InputError: it cannot be loaded, lacks weights, or is not what was planned.
    """
    network, processor = load_network(SEGMENTER, path, sha256=sha256, device=device)
    return MapSegmenter(network, processor, device=device)
