"""Diversity of one feature set, and spatial features for sFID."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, as_array, check_features
from ldmbench.metrics.families import moments_family
from ldmbench.metrics.resample import Replicates, replicate

__all__ = ["spatial_family", "spatial_features", "vendi_family", "vendi_score"]


def vendi_score(features: object) -> float:
    """Return exp of the entropy of the cosine kernel's spectrum (Friedman, Dieng 2023, def. 3.1).

    Args:
        features: (N, D), no row of zeros.

    Returns:
        The effective number of different samples, between 1 and min(N, D).

    Raises:
        InputError: bad features or a row of zeros.

    Examples:
        >>> round(vendi_score([[1, 0], [0, 1], [0, 1], [1, 0]]), 6)
        2.0
    """
    x = _unit_rows(features)
    gram = x @ x.T if len(x) < x.shape[1] else x.T @ x
    return float(np.exp(_entropy(np.linalg.eigvalsh(gram / len(x)))))


def vendi_family(
    features: object, *, kernel: Literal["cosine"] = "cosine", confidence: float = 0.95
) -> dict[str, Replicates]:
    """Return {"vendi_score": ...}, with an interval over fresh draws of the same n.

    The entropy of C = mean of x x' changes by -x'(log C) x - H for a little more weight on x.

    Args:
        features: (N, D), no row of zeros.
        kernel: cosine, the one there is.
        confidence: of the interval.

    Raises:
        InputError: as vendi_score says.
    """
    x = _unit_rows(features)
    short = len(x) < x.shape[1]
    values, vectors = np.linalg.eigh((x @ x.T if short else x.T @ x) / len(x))
    kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    entropy = _entropy(values)
    # Rows in the axes of C; the products' eigenvectors hold them already.
    rows = vectors * np.sqrt(len(x) * values) if short else x @ vectors
    each = -(np.square(rows) @ np.log(values)) - entropy
    value = float(np.exp(entropy))
    made = replicate(value, value * each, least=1.0, confidence=confidence, note=f"{kernel} kernel")
    return {"vendi_score": made}


def _unit_rows(features: object) -> Array:
    x = check_features(features, "given", least=1).astype(np.float64)
    largest = np.abs(x).max(axis=1, keepdims=True)
    if not largest.all():
        raise InputError(f"features have a row of zeros (row {int(largest.argmin())})")
    x /= largest
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def _entropy(values: Array) -> float:
    values = values[values > 0.0]
    return float(-(values * np.log(values)).sum())


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

    Examples:
        >>> import numpy as np
        >>> spatial_features(np.zeros((2, 8, 3, 3))).shape
        (2, 63)
    """
    found = as_array(maps)
    if found.ndim != 4 or not 1 <= channels <= found.shape[1]:
        raise InputError(
            f"feature maps have shape {found.shape}; (N, C, H, W) with at least {channels} "
            "channels is needed"
        )
    return np.ascontiguousarray(found[:, :channels].reshape(len(found), -1))


def spatial_family(
    generated: object, reference: object, *, confidence: float = 0.95
) -> dict[str, Replicates]:
    """Return {"sfid": ...}, the Fréchet distance of spatial features.

    Args:
        generated: (N, C, H, W) feature maps, or (N, S) as spatial_features gives them.
        reference: the same, or Moments of such features.
        confidence: of the interval.

    Raises:
        InputError: as spatial_features and moments_family say.
    """
    flat = [
        spatial_features(side) if getattr(side, "ndim", 2) == 4 else side
        for side in (generated, reference)
    ]
    return {"sfid": moments_family(*flat, confidence=confidence)["fid"]}
