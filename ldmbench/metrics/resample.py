"""Intervals: replicate values of a score under resampling with seeds common to all models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array
from ldmbench.seeds import derive_seed

__all__ = ["CONFIDENCE", "TRIALS", "Draws", "Replicates", "mean_over_samples", "replicate"]

TRIALS = 200
CONFIDENCE = 0.95
KEPT_POSITIONS = 1 << 26
"""Positions kept for the next score (256 MB); more are drawn again."""


@dataclass(frozen=True, eq=False)
class Replicates:
    """A score with its interval and its replicate values.

    Attributes:
        value: the score itself.
        low: lower end of the interval, None where no interval exists.
        high: upper end of the interval, None where no interval exists.
        confidence: probability that the interval holds the mean over fresh draws of this size.
        n: generated samples behind the value.
        method: how the interval was made, or why there is none.
        replicates: (200,) float64, or (0,) where there is no interval. Replicate r of two models
            scored on equally many samples uses the same resampled positions, so that the spread
            of the differences is the spread of the difference.
    """

    value: float
    low: float | None
    high: float | None
    confidence: float
    n: int
    method: str
    replicates: Array


def replicate(
    value: float,
    generated: Array,
    reference: Array | None = None,
    *,
    excess: float = 0.0,
    floor: float = 0.0,
    least: float = -np.inf,
    share: bool = False,
    most: float | None = None,
    confidence: float = CONFIDENCE,
    trials: int = TRIALS,
    note: str = "",
    draws: Draws | None = None,
) -> Replicates:
    """Return the linearised bootstrap of a score (Efron, Tibshirani 1993, chapter 22).

    A replicate is value + sum of resampled influences. The statistic is not computed anew on
    resampled sets: repeated samples would bias Fréchet distances upward and break neighbourhoods.
    The score is an unbiased guess of its own mean over fresh draws of the same sizes, so the
    interval is centred there.

    Args:
        value: the score.
        generated: (N,) influence of each generated sample: N times what the score gains from a
            little more weight on it.
        reference: (M,) the same for reference samples; None where there are none or they are fixed.
        excess: variance that the influences show and the score has not (their own noise); taken
            off, but never more than three quarters.
        floor: variance that the score has at least.
        least: smallest possible score; the interval ends there.
        share: the score is a share in [0, 1]: the interval is Wilson's (1927) at the effective
            number of samples, v (1 - v) / variance, so that it keeps its promise near 0 and 1.
        most: effective number of samples that a share can have; None: those of the smaller side.
        confidence: of the interval.
        trials: replicates.
        note: said in `method`.
        draws: resampled positions shared with other scores.

    Raises:
        InputError: a confidence outside (0, 1), or no trials.
    """
    if not 0.0 < confidence < 1.0 or trials < 1:
        raise InputError(
            f"confidence {confidence} and {trials} trials were asked; confidence lies between "
            "0 and 1 and at least one trial is needed"
        )
    # Without finite values of two samples a side there is no interval.
    n = len(generated)
    parts = [("generated", generated)] + ([] if reference is None else [("reference", reference)])
    if not np.isfinite(value) or any(not np.isfinite(part).all() for _, part in parts):
        return nothing(value, n, "no interval: the value is not finite", confidence)
    if any(len(part) < 2 for _, part in parts):
        return nothing(value, n, "no interval: a single sample", confidence)
    # Sum variance and resampled influences over both sides.
    variance, total = 0.0, np.zeros(trials)
    for side, part in parts:
        centred = part - part.mean()
        # N - 1 once more: the influences were centred on their own mean.
        variance += float(centred @ centred) / (len(part) * (len(part) - 1))
        total += (draws or Draws()).means(side, centred, trials)
    # Take off the influences' own noise, and build the interval.
    true = max(variance - excess, floor, variance / 4.0)
    z, error = NormalDist().inv_cdf(0.5 + confidence / 2.0), float(np.sqrt(true))
    low, high = max(least, value - z * error), value + z * error
    if share:
        smaller = min(len(part) for _, part in parts)
        low, high = wilson(value, error, z, smaller, most or smaller)
    # Give the replicates the corrected spread.
    if variance > 0.0:
        total *= float(np.sqrt(true / variance))
    method = f"linearised bootstrap, {trials} replicates" + (f"; {note}" if note else "")
    return Replicates(value, low, high, confidence, n, method, value + total)


def mean_over_samples(each: Array, confidence: float) -> Replicates:
    """Return the mean of values (N,) that belong to one sample each, as a score."""
    with np.errstate(invalid="ignore"):  # equal images have an infinite PSNR
        return replicate(float(each.mean()), each, confidence=confidence, note="mean over samples")


def wilson(value: float, error: float, z: float, n: int, most: float) -> tuple[float, float]:
    """Return Wilson's interval of a share with a known standard error; n where it shows none."""
    spread = value * (1.0 - value)
    size = min(most, spread / error**2) if error > 0.0 and spread > 0.0 else float(n)
    shrink = 1.0 + z * z / size
    centre = (value + z * z / (2.0 * size)) / shrink
    reach = z / shrink * float(np.sqrt(spread / size + z * z / (4.0 * size * size)))
    return max(0.0, min(value, centre - reach)), min(1.0, max(value, centre + reach))


def nothing(value: float, n: int, why: str, confidence: float = CONFIDENCE) -> Replicates:
    """Return a score without an interval, and why."""
    return Replicates(value, None, None, confidence, n, why, np.zeros(0))


class Draws:
    """Resampled positions of both sides, made once for all scores of a family unless too many.

    They depend on side, size and trial alone, so models scored on equally many samples share them.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[str, int, int], list[Array]] = {}

    def means(self, side: str, values: Array, trials: int) -> Array:
        """Return means of `values` (N,) over resampled positions, (trials,) float64."""
        key = (side, len(values), trials)
        drawn: Iterable[Array] = self._made.get(key, ())
        if not drawn:
            drawn = _positions(*key)
            if len(values) * trials <= KEPT_POSITIONS:
                drawn = self._made[key] = list(drawn)
        return np.array([values[at].mean() for at in drawn])


def _positions(side: str, n: int, trials: int) -> Iterator[Array]:
    rng = np.random.default_rng(derive_seed("bootstrap", side, n))
    return (rng.integers(0, n, n, dtype=np.int32) for _ in range(trials))
