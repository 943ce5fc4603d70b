"""Fréchet distance extrapolated to infinitely many generated samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, check_alike, check_features, whole
from ldmbench.metrics.frechet import check_side, frechet_distance
from ldmbench.metrics.frechet_spread import frechet_spread
from ldmbench.metrics.moments import Moments, moments
from ldmbench.metrics.resample import Replicates, replicate
from ldmbench.seeds import derive_seed

__all__ = ["FrechetInfinity", "fd_infinity", "infinity_family"]


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
    x, second, _ = _sides(generated, reference, points)
    line = extrapolate(x, second, points=points, seed=seed)
    return FrechetInfinity(line.value, line.slope)


@dataclass(frozen=True, eq=False)
class Line:
    """A line through the distances of subsets.

    Attributes:
        value: the distance at 1 / n = 0.
        slope: the distance gained per 1 / n.
        weights: (points,) what each subset's distance counts in `value`; they sum to 1.
        subsets: the rows in each subset.
    """

    value: float
    slope: float
    weights: Array
    subsets: list[Array]


def extrapolate(x: Array, second: Moments, *, points: int, seed: int) -> Line:
    """Return the least-squares line of the distance of subsets of x in 1 / n."""
    sizes = np.unique(np.linspace(len(x) // 10, len(x), points).astype(int))
    rng = np.random.default_rng(derive_seed("fd-infinity", seed, len(x)))
    subsets = [rng.permutation(len(x))[:size] for size in sizes]
    values = np.array([frechet_distance(x[rows], second) for rows in subsets])
    slope, value = np.polyfit(1.0 / sizes, values, 1)
    design = np.stack([1.0 / sizes, np.ones(len(sizes))], axis=1)
    return Line(float(value), float(slope), np.linalg.pinv(design)[1], subsets)


def infinity_family(
    generated: object,
    reference: object,
    *,
    points: int = 15,
    seed: int = 2020,
    confidence: float = 0.95,
) -> dict[str, Replicates]:
    """Return {"fd_infinity": ...}; a sample weighs as often as the subsets hold it.

    Args:
        generated: (N, D) features, N >= 20.
        reference: (M, D) features, or Moments, and then the interval takes them as fixed.
        points: subset sizes.
        seed: of the subsets.
        confidence: of the interval.

    Raises:
        InputError: as fd_infinity says.
    """
    x, second, y = _sides(generated, reference, points)
    line = extrapolate(x, second, points=points, seed=seed)
    spread = frechet_spread(x, y, moments(x), second)
    shares = np.array([len(x) / len(rows) for rows in line.subsets])
    counts = np.zeros(len(x))
    for rows, weight in zip(line.subsets, line.weights * shares, strict=True):
        counts[rows] += weight
    # The second order of a subset's distance falls with the square of its size.
    second_order = float(np.square(line.weights * shares).sum()) * spread.least
    made = replicate(
        line.value,
        spread.generated * counts,
        spread.reference,
        excess=second_order,
        floor=second_order,
        confidence=confidence,
        note=f"{len(line.subsets)} subsets, " + ("both sets" if y is not None else "generated"),
    )
    return {"fd_infinity": made}


def _sides(
    generated: object, reference: object, points: int
) -> tuple[Array, Moments, Array | None]:
    x = check_features(generated, "generated", least=20)
    if whole(points, "points") < 2:
        raise InputError(f"{points} subset sizes were asked; a line needs at least 2")
    if isinstance(reference, Moments):
        check_side(reference, x)
        return x, reference, None
    rows = check_features(reference, "reference")
    check_alike(x, rows)
    return x, moments(rows), rows
