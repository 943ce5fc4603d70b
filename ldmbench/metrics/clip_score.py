"""CLIP score: how well an image agrees with its prompt."""

from __future__ import annotations

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, check_features

__all__ = ["clip_score"]


def clip_score(image_features: object, text_features: object) -> Array:
    """Return 100 x cosine of each pair (Hessel et al. 2021, eq. 1, with w = 100 and no clipping).

    Args:
        image_features: (N, D), one row per image, of any length but not zero.
        text_features: (N, D), row i describes image i.

    Returns:
        (N,) float64 in [-100, 100]; negative values are kept.

    Raises:
        InputError: bad features, unlike shapes, or a row of zeros.

    Examples:
        >>> clip_score([[1, 0], [0, 2]], [[3, 0], [1, 1]]).round(2)
        array([100.  ,  70.71])
    """
    images = check_features(image_features, "image", least=1).astype(np.float64)
    texts = check_features(text_features, "text", least=1).astype(np.float64)
    if images.shape != texts.shape:
        raise InputError(
            f"image features have shape {images.shape} and text features {texts.shape}; "
            "one text per image, from the same model, is needed"
        )
    return np.asarray(100.0 * np.einsum("nd,nd->n", _unit(images, "image"), _unit(texts, "text")))


def _unit(x: Array, name: str) -> Array:
    # The largest entry is divided out first so that squares neither overflow nor vanish.
    largest = np.abs(x).max(axis=1, keepdims=True)
    if not largest.all():
        raise InputError(f"{name} features have a row of zeros (row {int(largest.argmin())})")
    x = x / largest
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))
