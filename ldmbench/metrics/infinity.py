"""Fréchet distance extrapolated to infinitely many generated samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, check_alike, check_features, whole
from ldmbench.metrics.frechet import check_side, frechet_distance
from ldmbench.metrics.frechet_influence import first_order, second_order
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

    Examples:
        >>> import numpy as np
        >>> first, second = np.random.default_rng(0).normal(size=(2, 500, 2))
        >>> round(fd_infinity(first, second).value, 4)
        0.0194
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
    own, other = first_order(x, y, moments(x), second)
    held = np.stack([np.bincount(rows, minlength=len(x)) for rows in line.subsets])
    sizes = held.sum(axis=1)
    counts = (line.weights * len(x) / sizes) @ held
    square = float(np.square(counts).mean())
    # Two samples move the line by as many pairs as the subsets hold of them.
    pairs = np.square(held @ held.T * len(x) / np.outer(sizes, sizes))
    pairs_counted = float(line.weights @ pairs @ line.weights)
    order = second_order(x, y, moments(x), second)
    floor = pairs_counted * order.generated + square * order.between + order.reference
    # What the estimated influences carry twice, of plain pairs, less what the line has itself.
    shown = 2.0 * (square * order.generated + order.reference) + (square + 1.0) * order.between
    made = replicate(
        line.value,
        own * counts,
        other,
        excess=shown - floor,
        floor=floor,
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
