"""Memorization: are generated samples closer to the training set than unseen real ones are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ldmbench.metrics.arrays import Array, check_alike, check_features
from ldmbench.metrics.blocks import Table, exact_squared, sweep, tables
from ldmbench.metrics.engine import Block, Engine, engine_of
from ldmbench.metrics.resample import Replicates, replicate

__all__ = ["Memorization", "memorization", "memorization_family"]


@dataclass(frozen=True)
class Memorization:
    """How generated samples sit to the training set, against held-out real samples.

    Attributes:
        share: probability that a generated sample is closer to the training set than a held-out
            one, ties half; 0.5 when nothing is copied, 1 when everything is.
        z: the same in standard errors (Mann-Whitney); large and positive means copying.
        copies: generated samples that equal a training sample.
    """

    share: float
    z: float
    copies: int


def memorization(generated: object, train: object, heldout: object) -> Memorization:
    """Return the data-copying test of Meehan, Chaudhuri, Dasgupta 2020 (section 3, one cell).

    Args:
        generated: (N, D) features.
        train: (T, D) features of what the model saw.
        heldout: (H, D) features of real samples that it did not see, drawn like the training set.

    Returns:
        Share, z (the paper's C_T with its sign turned), and exact copies.

    Raises:
        InputError: bad features or unlike widths.

    Examples:
        >>> seen, unseen = [[0.0], [1.0], [2.0]], [[7.0], [8.0], [9.0]]
        >>> memorization(seen, train=seen, heldout=unseen).share
        1.0
    """
    near, far = _distances(generated, train, heldout)
    order = np.sort(near)
    below = np.searchsorted(order, far, side="left")
    equal = np.searchsorted(order, far, side="right") - below
    wins = float(below.sum() + equal.sum() / 2.0)
    n, h = len(near), len(far)
    # Variance of the Mann-Whitney statistic with its correction for ties (Lehmann 1975, chapter 1).
    _, counts = np.unique(np.concatenate([near, far]), return_counts=True)
    ties = float((counts.astype(np.float64) ** 3 - counts).sum()) / ((n + h) * max(1, n + h - 1))
    variance = n * h / 12.0 * ((n + h + 1) - ties)
    z = (wins - n * h / 2.0) / np.sqrt(variance) if variance > 0.0 else 0.0
    return Memorization(wins / (n * h), float(z), int((near == 0.0).sum()))


def memorization_family(
    generated: object,
    train: object,
    heldout: object,
    *,
    confidence: float = 0.95,
    engine: Engine | None = None,
) -> dict[str, Replicates]:
    """Return {"memorization": ...}: the share, its interval over generated and held-out samples.

    Args:
        generated: (N, D) features.
        train: (T, D) features of what the model saw, taken as fixed.
        heldout: (H, D) features of real samples that it did not see.
        confidence: of the interval.
        engine: where products are formed; None: where the features are, else the processor.

    Raises:
        InputError: bad features or unlike widths.
    """
    near, far = _distances(generated, train, heldout, engine)
    before = _shares(far, near)  # of held-out samples that each generated one is closer than
    after = 1.0 - _shares(near, far)
    n, m = len(near), len(far)
    made = replicate(
        float(before.mean()),
        before - before.mean(),
        after - after.mean(),
        share=True,
        # Of two like sets: the variance of a rank statistic is then (1/n + 1/m) / 12.
        most=3.0 * n * m / (n + m),
        confidence=confidence,
        note=f"training set taken as fixed; exact copies: {int((near == 0.0).sum())}",
    )
    return {"memorization": made}


def _shares(others: Array, each: Array) -> Array:
    """Return the share of `others` that lie above each value, ties half."""
    order = np.sort(others)
    below = np.searchsorted(order, each, side="left") + np.searchsorted(order, each, side="right")
    return np.asarray(1.0 - below / (2.0 * len(order)))


def _distances(
    generated: object, train: object, heldout: object, engine: Engine | None = None
) -> tuple[Array, Array]:
    """Return squared distances to the training set, of generated and of held-out samples."""
    x = check_features(generated, "generated", least=1)
    seen = check_features(train, "training", least=1)
    real = check_features(heldout, "held-out", least=1)
    check_alike(x, seen)
    check_alike(real, seen)
    place = engine or engine_of(generated, train, heldout)
    return _to_nearest(x, seen, place), _to_nearest(real, seen, place)


def _to_nearest(x: Array, y: Array, engine: Engine) -> Array:
    """Return squared distance of each row of x to its nearest row of y, (N,) float64."""
    first, second = tables(x, y, engine=engine)
    search = _NearestOther(first, second)
    sweep(first, second, [search])
    decided = _NearTies(first, second, search)
    sweep(first, second, [decided])
    return decided.squared


class _NearTies:
    """Visitor that decides, on float64 differences, among all columns that may be the nearest.

    Attributes:
        squared: (N,) squared distance of each row to its nearest column.
    """

    def __init__(self, x: Table, y: Table, found: _NearestOther) -> None:
        self._x, self._y, self._engine = x, y, y.engine
        self._half = y.engine.put(y.half, y.dtype)
        self.squared = exact_squared(x.rows, y.rows, np.arange(len(x.rows)), found.index)
        # Each of two nearnesses is off by at most the slack, and rows are as long as the longest.
        off = 2.0 * y.slack * (x.half + float(y.half.max(initial=0.0)))
        self._least = found.near - 2.0 * off

    def part(self, rows: slice, cols: slice, gram: Block) -> tuple[Array, Array]:
        gram -= self._half[cols]
        least = self._engine.put(self._least[rows], self._y.dtype)
        flat, _ = self._engine.picked(gram, gram >= least[:, None])
        i, j = np.divmod(flat, gram.shape[1])
        i, j = i + rows.start, j + cols.start
        return i, exact_squared(self._x.rows, self._y.rows, i, j)

    def fold(self, rows: slice, cols: slice, partial: tuple[Array, Array]) -> None:
        np.minimum.at(self.squared, *partial)

    def close(self, rows: slice, cols: slice) -> None:
        pass


class _NearestOther:
    """Visitor that keeps, for each row, the column that is nearest (up to the table's slack)."""

    def __init__(self, x: Table, y: Table) -> None:
        self._engine = y.engine
        self._half = y.engine.put(y.half, y.dtype)
        self.near = np.full(len(x.rows), -np.inf)
        self.index = np.zeros(len(x.rows), dtype=np.int64)

    def part(self, rows: slice, cols: slice, gram: Block) -> tuple[Array, Array]:
        gram -= self._half[cols]
        index, near = self._engine.largest(gram, 1)
        return index[:, 0] + cols.start, near[:, 0]

    def fold(self, rows: slice, cols: slice, partial: tuple[Array, Array]) -> None:
        index, near = partial
        better = near > self.near[rows]
        self.index[rows] = np.where(better, index, self.index[rows])
        self.near[rows] = np.where(better, near, self.near[rows])

    def close(self, rows: slice, cols: slice) -> None:
        pass
