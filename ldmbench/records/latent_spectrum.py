"""What the spectra of latents say: the share of high frequencies, the slope, and the curve.

P_d is the mean over images of the power of zigzag frequency d (`models/latent_spectrum.py`), n_d
the coefficients on that diagonal, D = h + w - 2 the last one, and s_d = d / D its frequency.

- share of high frequencies: sum of n_d P_d over s_d >= 1/2, over the sum over d >= 1. The mean of a
  map is left out: no frequency, and moved by the shift of a channel. White noise has about a half.
- slope: of the least-squares line of log10 P_d over log10 s_d, d >= 1; 0 of white noise, about -2
  and below of natural images (Field 1987). Power laws of latents: arXiv:2603.14645.
- curve: log10(P_d / P_0) over s_d, as arXiv:2502.14831 draws it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ldmbench.schema.record import Measure, SpectrumPoint

__all__ = ["spectrum_measures", "spectrum_points"]

Powers: TypeAlias = npt.NDArray[np.float64]
HIGH = 0.5
Z = 1.959964


def spectrum_measures(powers: Powers, height: int, width: int) -> Iterator[Measure]:
    """Yield share of high frequencies and slope, with normal 95 % intervals over images.

    Both are functions of the mean spectrum; their intervals are by the derivative of each image.

    Args:
        powers: (N, h + w - 1) mean power of the coefficients of each diagonal.
        height: of latents.
        width: of latents.
    """
    weights = _coefficients(height, width)[1:]
    rest, frequency = powers[:, 1:], _frequencies(height, width)[1:]
    mean = rest.mean(axis=0)
    if not mean.all():
        why = "the latents of all images have no power at some frequency"
        for name in ("latent_high_frequency", "latent_slope"):
            yield Measure(name=name, value=None, unit="1", device="", reason=why)
        return
    total = float(mean @ weights)
    share = float((mean * (frequency >= HIGH)) @ weights) / total
    gains = rest @ (weights * ((frequency >= HIGH) - share)) / total
    yield _measure("latent_high_frequency", share, gains)
    if len(mean) > 2:
        line = np.log10(frequency) - np.log10(frequency).mean()
        line /= float(line @ line)
        gains = (rest / mean - 1) @ line / math.log(10)
        yield _measure("latent_slope", float(np.log10(mean) @ line), gains)


def spectrum_points(powers: Powers, height: int, width: int) -> tuple[SpectrumPoint, ...]:
    """Return the curve of the mean spectrum: a point for each zigzag frequency above 0."""
    mean = powers.mean(axis=0)
    found = zip(_frequencies(height, width)[1:], mean[1:], strict=True)
    return tuple(
        SpectrumPoint(frequency=float(s), log_power=math.log10(p / mean[0]))
        for s, p in found
        if p > 0 and mean[0] > 0
    )


def _frequencies(height: int, width: int) -> Powers:
    return np.arange(height + width - 1) / (height + width - 2)


def _coefficients(height: int, width: int) -> npt.NDArray[np.int64]:
    """Return how many coefficients each zigzag diagonal has."""
    return np.bincount(np.add.outer(np.arange(height), np.arange(width)).ravel())


def _measure(name: str, value: float, gains: Powers) -> Measure:
    """Return a value with the interval that the derivatives of its images give."""
    n = len(gains)
    half = Z * float(gains.std(ddof=1)) / math.sqrt(n) if n > 1 else None
    low, high = (None, None) if half is None else (value - half, value + half)
    return Measure(name=name, value=value, low=low, high=high, n=n, unit="1", device="")
