"""Moments: count, mean and covariance of features, gathered in float64 and mergeable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, check_features

__all__ = ["Moments", "moments"]

ROWS = 8192  # rows turned into float64 at a time: 128 MiB at 2,048 columns


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and covariance of a feature set.

    Attributes:
        n: number of samples, at least 1.
        mean: (D,) float64.
        cov: (D, D) float64, divided by n - 1 (zeros when n is 1).

    Raises:
        InputError: shapes that do not belong together, NaN or infinite values, or n below 1.
    """

    n: int
    mean: Array
    cov: Array

    def __post_init__(self) -> None:
        mean = np.asarray(self.mean, dtype=np.float64)
        cov = np.asarray(self.cov, dtype=np.float64)
        if mean.ndim != 1 or cov.shape != (len(mean), len(mean)) or self.n < 1:
            raise InputError(
                f"moments need n >= 1, a mean (D,) and a covariance (D, D); found n = {self.n}, "
                f"{mean.shape} and {cov.shape}"
            )
        if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
            raise InputError("moments hold NaN or infinity; make them anew from finite features")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "cov", cov)

    def update(self, batch: object) -> Moments:
        """Return the moments with a batch of features, (B, D), added.

        Raises:
            InputError: bad features, or a width other than this one's.
        """
        return self.merge(_gather(check_features(batch, "batch", least=1)))

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets together (Chan, Golub, LeVeque 1979, eq. 1.5).

        Raises:
            InputError: the widths differ.
        """
        if self.mean.shape != other.mean.shape:
            raise InputError(
                f"moments of width {len(self.mean)} and {len(other.mean)} cannot be merged; "
                "both must come from the same extractor"
            )
        n = self.n + other.n
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.n / n)
        scatter = self.cov * (self.n - 1)
        scatter += other.cov * (other.n - 1)
        scatter += np.outer(delta, delta * (self.n * other.n / n))
        scatter /= n - 1
        return Moments(n, mean, scatter)


def moments(features: object) -> Moments:
    """Return the moments of features.

    Args:
        features: (N, D), N >= 2, numbers of any real dtype; arithmetic is float64.

    Raises:
        InputError: not 2-D, NaN or infinite, or fewer than two rows.
    """
    return _gather(check_features(features, "given"))


def _gather(x: Array) -> Moments:
    total: Moments | None = None
    for start in range(0, len(x), ROWS):
        part = _one(x[start : start + ROWS])
        total = part if total is None else total.merge(part)
    assert total is not None
    return total


def _one(x: Array) -> Moments:
    # Differences to one row first: exact for constant sets, and no cancellation far from zero.
    pivot = x[0].astype(np.float64)
    centred = np.subtract(x, pivot, dtype=np.float64)
    shift = centred.mean(axis=0)
    centred -= shift
    cov = centred.T @ centred
    cov /= max(1, len(x) - 1)
    return Moments(len(x), pivot + shift, cov)
