"""Means: the difference of two groups of cells, over their pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import NormalDist, fmean

import numpy as np

from ldmbench.records.difference import Difference, p_value
from ldmbench.records.number import Array

__all__ = ["mean_differences"]

Part = tuple[Difference, Array | None]
"""The difference of one pair, and the replicates of it."""


def mean_differences(parts: Sequence[Part], *, level: float) -> Iterator[Difference]:
    """Yield the mean difference of every score over the pairs that have it, where several do.

    Args:
        parts: differences of pairs, each with its replicates where there are some.
        level: confidence of the interval.
    """
    groups: dict[tuple[str, str], list[Part]] = {}
    for row, replicates in parts:
        if row.difference is not None:
            groups.setdefault((row.name, row.protocol), []).append((row, replicates))
    for own in groups.values():
        if len(own) > 1:
            yield _mean(own, level)


def _mean(parts: Sequence[Part], level: float) -> Difference:
    rows = [row for row, _ in parts]
    gap = fmean(row.difference or 0.0 for row in rows)
    mean = replace(
        rows[0],
        cell_a=f"mean of {len(rows)} cells",
        cell_b=f"mean of {len(rows)} cells",
        n=sum(row.n for row in rows),
        a=fmean(row.a or 0.0 for row in rows),
        b=fmean(row.b or 0.0 for row in rows),
        difference=gap,
        low=None,
        high=None,
        p=None,
        method=f"no interval: {next((r.method for r in rows if r.low is None), '')}",
    )
    if any(row.low is None or row.high is None for row in rows):
        return mean
    z = NormalDist().inv_cdf(0.5 + level / 2)
    together, how = _together([made for _, made in parts])
    ends = [(r.difference or 0.0, r.low or 0.0, r.high or 0.0) for r in rows]
    down = _error(np.array([(gap - low) / z for gap, low, _ in ends]), together)
    up = _error(np.array([(high - gap) / z for gap, _, high in ends]), together)
    return replace(
        mean,
        low=gap - z * down,
        high=gap + z * up,
        p=p_value(gap, down if gap > 0 else up),
        method=f"mean over {len(rows)} pairs, {how}",
    )


def _error(errors: Array, together: Array) -> float:
    """Return the standard error of a mean from those of its parts and their correlations."""
    return math.sqrt(max(0.0, float(errors @ together @ errors))) / len(errors)


def _together(replicates: Sequence[Array | None]) -> tuple[Array, str]:
    """Return how the differences of the pairs move together, and how that was found."""
    there = [made for made in replicates if made is not None]
    size = len(replicates)
    if len(there) < size or len({len(made) for made in there}) > 1:
        return np.ones((size, size)), "errors count as shared: the store has no replicates"
    centred = np.array(there) - np.mean(there, axis=1, keepdims=True)
    products = centred @ centred.T
    scale = np.sqrt(np.diag(products))
    scale[scale == 0] = 1.0
    return products / np.outer(scale, scale), f"{len(there[0])} replicates"
