"""Nearest neighbours inside one feature set: exact radii, in memory linear in N."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ldmbench.metrics.arrays import Array
from ldmbench.metrics.blocks import ROWS_AT_ONCE, Table, exact_squared, identities
from ldmbench.metrics.engine import Block

__all__ = ["NearestSearch", "Neighbourhood"]

PRODUCTS_AT_ONCE = 1 << 22  # products held at once where near-ties are too many to be kept
SPARE_CANDIDATES = (
    8  # candidates kept beyond the last neighbour asked for, so that near-ties can be decided
)


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Radii and neighbours of each sample of one set.

    Attributes:
        squared: k -> (N,) float64, squared distance to the k-th other sample, from float64
            differences; 0 where k other samples are equal to it.
        outer: k -> (N,) float64, squared distance to the (k + 1)-th, good to the table's slack.
        index: (N, k_max + 1) row numbers of the nearest others, nearest first up to near-ties.
    """

    squared: dict[int, Array]
    outer: dict[int, Array]
    index: Array


class NearestSearch:
    """Visitor of the blocks of one set with itself that keeps the nearest others of each sample.

    Args:
        table: the set.
        ks: which neighbours are wanted, each at most N - 1.
    """

    def __init__(self, table: Table, ks: tuple[int, ...]) -> None:
        self._table, self._ks = table, ks
        n = len(table.rows)
        self._keep = min(n - 1, max(ks) + 1 + SPARE_CANDIDATES)
        self._near = np.full((n, self._keep), -np.inf)
        self._index = np.full((n, self._keep), -1, dtype=np.int64)
        self._worst = np.full(n, -np.inf)
        self._came: list[tuple[Array, ...]] = []
        self._engine = table.engine
        self._half = table.half.astype(table.dtype)
        self._there = self._engine.put(self._half)

    def part(self, rows: slice, cols: slice, gram: Block) -> tuple[Array, ...]:
        """Return candidates of the rows and, off the diagonal, of the columns.

        Nearness is x.y/D - half_x - half_y = -d^2 / (2 D);
        candidates are (sample, other, nearness).
        """
        here, row_half = rows.start - cols.start, self._half[rows]
        gram -= self._there[cols]
        if 0 <= here < gram.shape[1]:
            at = np.arange(len(gram))
            gram[at, at + here] = -np.inf
            return self._first(rows, cols, gram, row_half)
        engine, dtype = self._engine, self._table.dtype
        bound = engine.put(self._worst[rows] + self._table.half[rows], dtype)
        flat, near = engine.picked(gram, gram > bound[:, None])
        i, j = np.divmod(flat, gram.shape[1])
        by_row = (i + rows.start, j + cols.start, near - row_half[i])
        gram -= self._there[rows][:, None]
        flat, near = engine.picked(gram, gram > engine.put(self._worst[cols], dtype))
        i, j = np.divmod(flat, gram.shape[1])
        by_col = (j + cols.start, i + rows.start, near)
        return (*by_row, *by_col)

    def fold(self, rows: slice, cols: slice, partial: tuple[Array, ...]) -> None:
        """Gather the candidates of a block."""
        self._came.append(partial)

    def close(self, rows: slice, cols: slice) -> None:
        """Keep the best of what was kept and what came."""
        columns = [np.concatenate(parts) for parts in zip(*self._came, strict=True)]
        self._merge(*columns[:3])
        self._merge(*columns[3:])
        self._came.clear()

    def finish(self) -> Neighbourhood:
        """Return the radii; each is decided on float64 differences among its near-ties."""
        order = np.lexsort((self._index, -self._near), axis=1)
        near = np.take_along_axis(self._near, order, axis=1)
        index = np.take_along_axis(self._index, order, axis=1)
        scale = -2.0 * self._table.rows.shape[1]
        squared = {k: self._radius(near, index, k) for k in self._ks}
        outer = {
            k: np.maximum(scale * near[:, min(k, self._keep - 1)], squared[k]) for k in self._ks
        }
        return Neighbourhood(squared, outer, index[:, : max(self._ks) + 1])

    def _first(self, rows: slice, cols: slice, gram: Block, half: Array) -> tuple[Array, ...]:
        keep = min(self._keep, gram.shape[1])
        j, near = self._engine.largest(gram, keep)
        near = near - half[:, None]
        i = np.repeat(np.arange(rows.start, rows.stop), keep)
        none = np.zeros(0, dtype=np.int64)
        return i, j.ravel() + cols.start, near.ravel(), none, none, np.zeros(0)

    def _merge(self, sample: Array, other: Array, near: Array) -> None:
        real = np.flatnonzero(near > -np.inf)
        if not len(real):
            return
        # Group the candidates by sample.
        real = real[np.argsort(sample[real], kind="stable")]
        sample, other, near = sample[real], other[real], near[real]
        start = np.flatnonzero(np.diff(sample, prepend=-1))
        counts = np.diff(start, append=len(sample))
        touched, row = sample[start], np.repeat(np.arange(len(start)), counts)
        column = self._keep + np.arange(len(sample)) - np.repeat(start, counts)
        # Put the neighbours known so far and the candidates side by side.
        wide = (len(touched), self._keep + int(counts.max()))
        near_all, index_all = np.full(wide, -np.inf), np.full(wide, -1, dtype=np.int64)
        near_all[:, : self._keep] = self._near[touched]
        index_all[:, : self._keep] = self._index[touched]
        near_all[row, column], index_all[row, column] = near, other
        # Keep the nearest of both.
        best = np.argpartition(-near_all, self._keep - 1, axis=1)[:, : self._keep]
        self._near[touched] = kept = np.take_along_axis(near_all, best, axis=1)
        self._index[touched] = np.take_along_axis(index_all, best, axis=1)
        self._worst[touched] = kept.min(axis=1)

    def _radius(self, near: Array, index: Array, k: int) -> Array:
        """Return exact squared distances to the k-th other sample."""
        rows, half = self._table.rows, self._table.half
        kth = near[:, k - 1 : k]
        # Two candidates may change places when they are closer than both errors together.
        blur = 2.0 * self._table.slack * (half[:, None] + half[index])
        close = np.abs(near - kth) <= blur + blur[:, k - 1 : k]
        exact = np.where(near > kth, -np.inf, np.inf)
        i, p = np.nonzero(close)
        exact[i, p] = exact_squared(rows, rows, i, index[i, p])
        exact.sort(axis=1)
        out = exact[:, k - 1]
        full = close[:, -1] & (self._keep < len(rows) - 1)
        out[full] = self._crowded(np.flatnonzero(full), k)
        return np.asarray(out)

    def _crowded(self, which: Array, k: int) -> Array:
        """Return exact radii where more near-ties exist than are kept."""
        rows = self._table.rows
        out = np.zeros(len(which))
        if not len(which):
            return out
        names = identities(rows)[0]
        lone = np.flatnonzero(np.bincount(names)[names][which] <= k)
        step = max(1, PRODUCTS_AT_ONCE // len(rows))
        for at in range(0, len(lone), step):
            part = lone[at : at + step]
            out[part] = _kth_squared(rows, self._table.half, which[part], k)
        return out


def _kth_squared(rows: Array, half: Array, which: Array, k: int) -> Array:
    """Return squared distances to the k-th other row, decided as `NearestSearch` does, in float64.

    Args:
        rows: (N, D).
        half: (N,) |x|^2 / (2 D).
        which: (P,) the rows that are asked for.
        k: which neighbour.
    """
    asked, width = rows[which].astype(np.float64), rows.shape[1]
    near = np.empty((len(which), len(rows)))
    for at in range(0, len(rows), ROWS_AT_ONCE):
        part = slice(at, at + ROWS_AT_ONCE)
        np.matmul(asked, rows[part].astype(np.float64).T, out=near[:, part])
    near /= width
    near -= half
    near -= half[which][:, None]
    near[np.arange(len(which)), which] = -np.inf
    kth = -np.partition(-near, k - 1, axis=1)[:, k - 1 : k]
    slack = (width + 16) * float(np.finfo(np.float64).eps)
    blur = slack * (half[which][:, None] + half) + slack * (half[which] + half.max())[:, None]
    i, j = np.nonzero(np.abs(near - kth) <= blur)
    exact = np.where(near > kth, -np.inf, np.inf)
    exact[i, j] = exact_squared(rows, rows, which[i], j)
    return np.asarray(np.partition(exact, k - 1, axis=1)[:, k - 1])
