"""MIND (Monge Inception Distance): the mean squared Wasserstein distance along random directions.

arXiv:2605.06797, as torch-fidelity's `metric_mind.py` computes it. Directions, and which samples of
the larger set count, come from torch's generator, which is part of the definition.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, check_seed, whole
from ldmbench.metrics.frechet import check_pair
from ldmbench.metrics.resample import CONFIDENCE, Replicates, replicate

__all__ = ["mind", "mind_family"]

BLOCK = 64
"""Directions at a time."""


def mind(
    generated: object, reference: object, *, projections: int = 1000, seed: int = 2020
) -> float:
    """Return the Monge Inception Distance of two sets of features.

    3 D times the mean, over directions u and ranks, of (sort(x.u) - sort(y.u))^2, so that a shift
    by c in each of D coordinates gives 3 D c^2. It is above 0 for equal distributions and exactly
    0 for equal sets. Arithmetic is float64.

    Args:
        generated: (N, D) features.
        reference: (M, D) features; of the larger set min(N, M) samples are drawn.
        projections: number of directions.
        seed: of torch's generator.

    Raises:
        InputError: bad features, unlike widths, no projections.

    Examples:
        >>> round(mind([[0.0], [1.0]], [[2.0], [3.0]]), 6)
        12.0
    """
    x, y, directions = _drawn(generated, reference, projections, seed)
    total = 0.0
    for part in _blocks(directions):
        total += float(np.square(np.sort(x @ part, 0) - np.sort(y @ part, 0)).sum())
    return 3.0 * int(x.shape[1]) * total / (len(x) * len(directions))


def mind_family(
    generated: object,
    reference: object,
    *,
    projections: int = 1000,
    seed: int = 2020,
    confidence: float = CONFIDENCE,
) -> dict[str, Replicates]:
    """Return {"mind": ...} with its interval; arguments and errors are those of `mind`.

    What a sample does to the score is its Kantorovich potential, averaged over directions.
    """
    x, y, directions = _drawn(generated, reference, projections, seed)
    total, gen, ref = 0.0, np.zeros(len(x)), np.zeros(len(y))
    for part in _blocks(directions):
        one, two = x @ part, y @ part
        first, second = np.argsort(one, 0), np.argsort(two, 0)
        one, two = np.take_along_axis(one, first, 0), np.take_along_axis(two, second, 0)
        total += float(np.square(one - two).sum())
        gen += _scattered(_potential(one, two), first)
        ref += _scattered(_potential(two, one), second)
    scale = 3.0 * x.shape[1] / len(directions)
    made = replicate(
        scale * total / len(x),
        scale * gen,
        scale * ref,
        least=0.0,
        confidence=confidence,
        note=f"{projections} directions",
    )
    return {"mind": made}


def _drawn(
    generated: object, reference: object, projections: int, seed: int
) -> tuple[Array, Array, Array]:
    """Return as many rows of both sets, float64, and directions (M, D) float32 of length 1."""
    x, y = check_pair(generated, reference)
    if whole(projections, "projections") < 1:
        raise InputError(f"{projections} projections were asked for; at least 1 is needed")
    torch = import_module("torch")  # its generator is part of the definition
    g = torch.Generator().manual_seed(check_seed(seed))
    count = min(len(x), len(y))
    x, y = (
        side[torch.randperm(len(side), generator=g)[:count].numpy()] if len(side) > count else side
        for side in (x, y)
    )
    directions = torch.randn(projections, x.shape[1], generator=g, dtype=torch.float32)
    directions = torch.nn.functional.normalize(directions, dim=1)
    return x.astype(np.float64), y.astype(np.float64), directions.numpy()


def _blocks(directions: Array) -> list[Array]:
    """Return the directions as columns (D, BLOCK), float64."""
    starts = range(0, len(directions), BLOCK)
    return [directions[i : i + BLOCK].T.astype(np.float64) for i in starts]


def _potential(sorted_from: Array, sorted_to: Array) -> Array:
    """Return Kantorovich's potential of sorted points, (n, directions), of mean 0 in each column.

    Its slope is 2 (x - T(x)), T the monotone map (Santambrogio 2015, section 1.3).
    """
    gaps = sorted_from - sorted_to
    steps = np.diff(sorted_from, axis=0) * (gaps[1:] + gaps[:-1])
    potential = np.concatenate([np.zeros((1, steps.shape[1])), np.cumsum(steps, 0)])
    centred: Array = potential - potential.mean(0)
    return centred


def _scattered(potential: Array, order: Array) -> Array:
    """Return the sum over directions for each sample, in the order before sorting."""
    back = np.empty_like(potential)
    np.put_along_axis(back, order, potential, 0)
    summed: Array = back.sum(1)
    return summed
