"""Moments: count, mean and covariance of features, gathered in float64 and mergeable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, as_array, check_features, whole
from ldmbench.metrics.dense import asymmetry, factor, mirror
from ldmbench.metrics.engine import HOST, Engine, engine_of

__all__ = ["Moments", "gather", "moments", "pivot_of", "why_no_covariance"]

ROWS_AT_ONCE = 4096  # rows turned into float64 at a time: 64 MiB at 2,048 columns
FLOAT32_EPS = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and covariance of a feature set.

    Attributes:
        n: number of samples, at least 1.
        mean: (D,) float64.
        cov: (D, D) float64, divided by n - 1 (zeros when n is 1).

    Raises:
        InputError: shapes that do not belong together, NaN or infinite values, n below 1, or
            numbers in half precision, which keep three digits of a covariance.
    """

    n: int
    mean: Array
    cov: Array

    def __post_init__(self) -> None:
        mean, cov = (_numbers(part) for part in (self.mean, self.cov))
        if whole(self.n, "n") < 1 or mean.ndim != 1 or cov.shape != (len(mean), len(mean)):
            raise InputError(
                f"moments need n >= 1, a mean (D,) and a covariance (D, D); found n = {self.n}, "
                f"{mean.shape} and {cov.shape}"
            )
        if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
            raise InputError("moments hold NaN or infinity; make them anew from finite features")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "cov", cov)

    @cached_property
    def lower(self) -> Array | None:
        """Return L, (D, D) lower triangular with LL' = cov, or None where cov is singular."""
        return factor(self.cov)

    @cached_property
    def fault(self) -> str | None:
        """Say why cov is no covariance, or None where it is one."""
        return why_no_covariance(self.cov, lower=self.lower)

    def update(self, batch: object) -> Moments:
        """Return the moments with a batch of features, (B, D), added.

        Raises:
            InputError: bad features, or a width other than this one's.
        """
        rows = check_features(batch, "batch", least=1)
        return self.merge(gather(rows, engine=engine_of(batch)))

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets together (Chan, Golub, LeVeque 1979, eq. 1.5).

        Raises:
            InputError: the widths differ.
        """
        if not isinstance(other, Moments):
            raise InputError(
                f"a {type(other).__name__} cannot be merged into moments; give Moments"
            )
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
    """Return the moments of features, and with them what every comparison needs of them.

    Args:
        features: (N, D), N >= 2, numbers of any real dtype; arithmetic is float64.

    Raises:
        InputError: not 2-D, NaN or infinite, or fewer than two rows.

    Examples:
        >>> moments([[0.0, 1.0], [2.0, 5.0]]).mean
        array([1., 3.])
    """
    made = gather(check_features(features, "given"), engine=engine_of(features))
    _ = made.lower  # once, not in every comparison with a reference that is kept
    return made


def why_no_covariance(cov: Array, *, lower: Array | None = None) -> str | None:
    """Say why a symmetric matrix cannot be a covariance, or None where it can.

    A covariance of fewer samples than features has eigenvalues of 0, which rounding moves below 0:
    by at most some sqrt(D) units of the last float32 digit of the largest. Beyond that the matrix
    is damaged, of another convention, or was kept with too few digits, and no distance to it means
    anything.

    Args:
        cov: (D, D) float64, finite.
        lower: its Cholesky factor where that is known: no eigenvalue is then needed.
    """
    if np.diag(cov).min(initial=0.0) < 0.0:
        return "has a negative variance"
    largest = max(float(cov.max(initial=0.0)), -float(cov.min(initial=0.0)))
    if asymmetry(cov) > 1e-3 * largest:
        return "is not symmetric"
    if lower is None and (lower := factor(cov)) is None:
        values = np.linalg.eigvalsh((cov + cov.T) / 2)
        least, most = float(values[0]), float(values[-1])
        if least < -4 * FLOAT32_EPS * len(cov) ** 0.5 * max(most, 0.0):
            return f"has an eigenvalue of {least:.3g} beside a largest of {most:.3g}"
    return None


def gather(x: Array, *, engine: Engine = HOST) -> Moments:
    """Return the moments of checked features, at least one row."""
    pivot = pivot_of(x)
    n, width = x.shape
    buffer, shift = np.empty((min(n, ROWS_AT_ONCE), width)), np.zeros(width)
    scatter = np.zeros((width, width))
    for start in range(0, n, ROWS_AT_ONCE):
        part = x[start : start + ROWS_AT_ONCE]
        centred = np.subtract(part, pivot, out=buffer[: len(part)], dtype=np.float64)
        shift += centred.sum(axis=0)
        engine.scatter(scatter, centred)
    mirror(scatter)
    shift /= n
    scatter -= np.outer(shift, n * shift)
    scatter /= max(1, n - 1)
    made = Moments(n, pivot + shift, scatter)
    made.__dict__["fault"] = None  # features have a covariance: nothing to look for
    return made


def pivot_of(rows: Array) -> Array:
    """Return a point near the centre of features (N, D), (D,) float64: the mean of the first rows.

    Differences to one row come first: exact for constant sets, and no cancellation far from zero.
    """
    first = rows[0].astype(np.float64)
    return np.asarray(
        first + np.subtract(rows[:ROWS_AT_ONCE], first, dtype=np.float64).mean(axis=0)
    )


def _numbers(value: object) -> Array:
    try:
        found = as_array(value)
        if found.dtype.kind == "f" and found.dtype.itemsize < 4:
            raise InputError(
                f"moments in {found.dtype} were given, which keeps three digits of a covariance; "
                "float32 or float64 is needed"
            )
        return np.asarray(found.astype(np.float64, copy=False))
    except (TypeError, ValueError) as error:
        kind = type(value).__name__
        raise InputError(f"moments made of a {kind} were given; numbers are needed") from error
