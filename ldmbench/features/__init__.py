"""Feature extractors and their weights: networks that turn images and captions into vectors."""

from typing import TYPE_CHECKING

from ldmbench.features.weights import (
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

_LAZY = {
    "Extractor": "extractor",
    "Lpips": "lpips",
    "load_extractor": "extractor",
    "load_lpips": "lpips",
}


def __getattr__(name: str) -> object:
    """Import what needs torch on first use, so that `weights` stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ldmbench.registry import resolve

    return resolve(f"{__name__}.{_LAZY[name]}:{name}")
