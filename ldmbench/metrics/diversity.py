"""Diversity of one feature set, and spatial features for sFID."""

from __future__ import annotations

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, as_array, check_features

__all__ = ["spatial_features", "vendi_score"]


def vendi_score(features: object) -> float:
    """Return exp of the entropy of the cosine kernel's spectrum (Friedman, Dieng 2023, def. 3.1).

    Args:
        features: (N, D), no row of zeros.

    Returns:
        The effective number of different samples, between 1 and min(N, D).

    Raises:
        InputError: bad features or a row of zeros.
    """
    x = check_features(features, "given", least=1).astype(np.float64)
    largest = np.abs(x).max(axis=1, keepdims=True)
    if not largest.all():
        raise InputError(f"features have a row of zeros (row {int(largest.argmin())})")
    x /= largest
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    gram = x @ x.T if len(x) < x.shape[1] else x.T @ x
    values = np.linalg.eigvalsh(gram / len(x))
    values = values[values > 0.0]
    return float(np.exp(-(values * np.log(values)).sum()))


def spatial_features(maps: object, *, channels: int = 7) -> Array:
    """Return flattened first channels of feature maps; their Fréchet distance is sFID.

    As the ADM evaluator takes them: 7 channels of the 17 x 17 map before the last Inception
    blocks, 2,023 columns (Nash et al. 2021).

    Args:
        maps: (N, C, H, W) floats, C >= channels.
        channels: how many to keep.

    Returns:
        (N, channels x H x W), the dtype of `maps`.

    Raises:
        InputError: not four axes, or too few channels.
    """
    found = as_array(maps)
    if found.ndim != 4 or not 1 <= channels <= found.shape[1]:
        raise InputError(
            f"feature maps have shape {found.shape}; (N, C, H, W) with at least {channels} "
            "channels is needed"
        )
    return np.ascontiguousarray(found[:, :channels].reshape(len(found), -1))
