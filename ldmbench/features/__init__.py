"""Feature extractors and their weights: networks that turn images and captions into vectors."""

from typing import TYPE_CHECKING

from ldmbench.registry import lazily
from ldmbench.sources.evaluators import (
    WeightsState,
    import_weights,
    list_weights,
    verify_weights,
    weights_folder,
    weights_path,
)

if TYPE_CHECKING:
    from ldmbench.features.extractor import Extractor, load_extractor
    from ldmbench.features.lpips import Lpips, load_lpips

__all__ = [
    "Extractor",
    "Lpips",
    "WeightsState",
    "import_weights",
    "list_weights",
    "load_extractor",
    "load_lpips",
    "verify_weights",
    "weights_folder",
    "weights_path",
]

__getattr__ = lazily(
    __name__,
    {
        "Extractor": "extractor",
        "Lpips": "lpips",
        "load_extractor": "extractor",
        "load_lpips": "lpips",
    },
)
"""What needs torch is imported on first use, so that `weights` stays light."""
