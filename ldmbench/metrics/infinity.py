"""Fréchet distance extrapolated to infinitely many generated samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import check_alike, check_features, whole
from ldmbench.metrics.frechet import frechet_distance
from ldmbench.metrics.moments import Moments, moments
from ldmbench.seeds import derive_seed

__all__ = ["FrechetInfinity", "fd_infinity"]


@dataclass(frozen=True)
class FrechetInfinity:
    """Value at infinitely many generated samples, and the slope of the distance in 1 / n."""

    value: float
    slope: float


def fd_infinity(
    generated: object, reference: object, *, points: int = 15, seed: int = 2020
) -> FrechetInfinity:
    """Return the Fréchet distance extrapolated linearly in 1 / n (Chong, Forsyth 2020).

    Args:
        generated: (N, D) features, N >= 20. Extrapolation is honest when N is several times D.
        reference: (M, D) features or Moments; its own size stays as it is.
        points: subset sizes, even steps from N / 10 to N.
        seed: of the subsets.

    Raises:
        InputError: bad features, fewer than 20 samples, unlike widths, or fewer than two points.
    """
    x = check_features(generated, "generated", least=20)
    if whole(points, "points") < 2:
        raise InputError(f"{points} subset sizes were asked; a line needs at least 2")
    if isinstance(reference, Moments):
        second = reference
    else:
        rows = check_features(reference, "reference")
        check_alike(x, rows)
        second = moments(rows)
    sizes = np.unique(np.linspace(len(x) // 10, len(x), points).astype(int))
    rng = np.random.default_rng(derive_seed("fd-infinity", seed, len(x)))
    values = [frechet_distance(x[rng.permutation(len(x))[:size]], second) for size in sizes]
    slope, value = np.polyfit(1.0 / sizes, np.array(values), 1)
    return FrechetInfinity(float(value), float(slope))
