"""Blocked products of two feature sets: every pair is seen once, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ldmbench.metrics.arrays import Array
from ldmbench.metrics.engine import HOST, Block, Engine

__all__ = [
    "ROWS_AT_ONCE",
    "Report",
    "Table",
    "Visitor",
    "exact_squared",
    "identities",
    "sweep",
    "tables",
]

Report = Callable[[float], None]
ROWS_AT_ONCE = 1024  # rows turned into float64 at a time
SMALLEST_MEAN_SQUARE = 1e-20  # |x|^2 / D under which float32 products may vanish


class Visitor(Protocol):
    """What is done with each block of products x.y/D; only the last visitor may overwrite it."""

    def part(self, rows: slice, cols: slice, gram: Block) -> Any:
        """Work on some rows of a block, in a thread; no state is changed."""
        ...

    def fold(self, rows: slice, cols: slice, partial: Any) -> None:
        """Take in what `part` returned, in order; never two at once."""
        ...

    def close(self, rows: slice, cols: slice) -> None:
        """Note that a whole block is done."""
        ...


@dataclass(frozen=True, eq=False)
class Table:
    """A feature set made ready for products.

    Attributes:
        rows: (N, D) as given, float32 or float64.
        half: (N,) float64, |x|^2 / (2 D), so that -d^2 / (2 D) = x.y/D - half_x - half_y.
        dtype: working precision of the products.
        slack: relative bound on the error of that difference, per unit of half_x + half_y.
        engine: where products are formed.
        held: the rows in the working precision where products are formed, or None: rows of a
            block are then turned into it as they are needed.
    """

    rows: Array
    half: Array
    dtype: np.dtype[Any]
    slack: float
    engine: Engine = HOST
    held: Block = None

    def block(self, part: slice) -> Block:
        """Return rows of the table in the working precision, where products are formed."""
        if self.held is not None:
            return self.held[part]
        return self.engine.put(self.rows[part], self.dtype)


def tables(first: Array, second: Array, *, engine: Engine = HOST) -> tuple[Table, Table]:
    """Return both sets ready for products, in float32 where that is safe, else in float64."""
    width, halves = first.shape[1], (_half(first), _half(second))
    dtype = _precision(first, second, *halves)
    # Higham 2002, section 3.1: a dot product of D terms is off by at most D u |x||y|.
    slack = (width + 16) * float(np.finfo(dtype).eps) / 2
    one, two = (
        Table(rows, half, dtype, slack, engine, None if engine is HOST else engine.put(rows, dtype))
        for rows, half in zip((first, second), halves, strict=True)
    )
    return one, two


def sweep(
    x: Table,
    y: Table | None,
    visitors: Sequence[Visitor],
    *,
    block: int | None = None,
    workers: int | None = None,
    report: Report | None = None,
) -> None:
    """Form x.y'/D block by block and show each block to the visitors.

    Args:
        x: rows of the product.
        y: columns; None means x again, and then blocks below the diagonal are skipped and the
            diagonal blocks come first.
        visitors: in order; only the last may overwrite the block.
        block: rows and columns of a block (default: the engine's, 1,024 on the processor).
        workers: blocks worked on at once (default: the engine's, one per core).
        report: called with the fraction done.
    """
    # List the blocks, those on the diagonal first.
    engine = x.engine
    size = block or engine.block
    other = x if y is None else y
    scale = 1.0 / x.rows.shape[1]
    pairs = list(_order(len(x.rows), None if y is None else len(y.rows), size))
    threads = workers or engine.workers()

    def work(rows: slice, cols: slice) -> list[tuple[slice, list[Any]]]:
        gram = x.block(rows) @ other.block(cols).T
        seen = []
        for at in range(0, len(gram), engine.chunk):
            piece = gram[at : at + engine.chunk]
            piece *= scale
            seen.append(_look(visitors, rows, cols, piece, at))
        return seen

    # Form blocks on several threads; visitors take them in order.
    with engine.exact(), ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[slice, slice, Future[list[tuple[slice, list[Any]]]]]] = deque()
        for done, (rows, cols) in enumerate(pairs):
            # Diagonal blocks bound what later blocks need to list, so they are through first.
            first_beside = y is None and done > 0 and rows != cols and len(waiting) > 0
            most = 0 if first_beside and pairs[done - 1][0] == pairs[done - 1][1] else threads
            while len(waiting) > most:
                _take(visitors, *waiting.popleft())
            waiting.append((rows, cols, pool.submit(work, rows, cols)))
            if report is not None:
                report(done / len(pairs))
        while waiting:
            _take(visitors, *waiting.popleft())
    if report is not None:
        report(1.0)


def _look(
    visitors: Sequence[Visitor], rows: slice, cols: slice, piece: Block, at: int
) -> tuple[slice, list[Any]]:
    """Show some rows of a block, few enough to stay in cache, to all visitors."""
    place = slice(rows.start + at, rows.start + at + len(piece))
    return place, [visitor.part(place, cols, piece) for visitor in visitors]


def _take(
    visitors: Sequence[Visitor],
    rows: slice,
    cols: slice,
    made: Future[list[tuple[slice, list[Any]]]],
) -> None:
    for place, partials in made.result():
        for visitor, partial in zip(visitors, partials, strict=True):
            visitor.fold(place, cols, partial)
    for visitor in visitors:
        visitor.close(rows, cols)


def exact_squared(x: Array, y: Array, i: Array, j: Array) -> Array:
    """Return |x_i - y_j|^2 of listed pairs, (P,) float64, from float64 differences.

    The same pair gives the same bits whichever side it is asked from.
    """
    out = np.empty(len(i))
    step = max(1, (1 << 20) // x.shape[1])
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        d = np.subtract(x[i[part]], y[j[part]], dtype=np.float64)
        out[part] = np.square(d, out=d).sum(axis=1)
    return out


def identities(*sets: Array) -> list[Array]:
    """Return a number per row of each set, (N,) int64: equal rows of any set share theirs."""
    wide = np.result_type(*sets)
    # Adding 0.0 turns -0.0 into 0.0.
    both = np.concatenate([np.asarray(rows, dtype=wide) + 0.0 for rows in sets])
    numbers, counts = np.unique(_marks(both), return_inverse=True, return_counts=True)[1:]
    numbers = numbers.ravel()
    shared = np.flatnonzero(counts[numbers] > 1)
    if len(shared):  # mostly equal rows; their bytes decide
        opaque = both[shared].view(np.dtype((np.void, both.dtype.itemsize * both.shape[1])))
        numbers[shared] = len(counts) + np.unique(opaque.ravel(), return_inverse=True)[1].ravel()
    return np.split(numbers, np.cumsum([len(rows) for rows in sets])[:-1])


def _marks(rows: Array) -> Array:
    """Return a number per row, (N,) uint64, that equal rows share and others hardly ever do."""
    words = rows.view(np.uint32)
    odd = np.random.RandomState(0).randint(0, 1 << 63, words.shape[1], dtype=np.uint64) * 2 + 1
    out = np.empty(len(rows), dtype=np.uint64)
    for at in range(0, len(rows), ROWS_AT_ONCE):
        out[at : at + ROWS_AT_ONCE] = (words[at : at + ROWS_AT_ONCE] * odd).sum(axis=1)
    return out


def _order(n: int, m: int | None, size: int) -> Iterator[tuple[slice, slice]]:
    rows = [slice(a, min(a + size, n)) for a in range(0, n, size)]
    if m is not None:
        cols = [slice(a, min(a + size, m)) for a in range(0, m, size)]
        yield from ((r, c) for r in rows for c in cols)
        return
    yield from ((r, r) for r in rows)
    yield from ((r, c) for a, r in enumerate(rows) for c in rows[a + 1 :])


def _precision(first: Array, second: Array, *halves: Array) -> np.dtype[Any]:
    """Float64 unless products are long (so speed counts) and float32 cannot cancel or vanish."""
    wide = np.dtype(np.float64)
    if first.shape[1] < 256 or any(2.0 * float(half.max()) > 1e3 for half in halves):
        return wide
    if any(bool(((half > 0.0) & (half < SMALLEST_MEAN_SQUARE)).any()) for half in halves):
        return wide
    for rows in (first, second):
        some = rows[:: max(1, len(rows) // 512)].astype(np.float64)
        centre = some.mean(axis=0)
        spread = float(np.square(some - centre).sum(axis=1).mean())
        if float(centre @ centre) > 16.0 * spread:
            return wide
    return np.dtype(np.float32)


def _half(rows: Array) -> Array:
    out = np.empty(len(rows))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE].astype(np.float64)
        out[start : start + ROWS_AT_ONCE] = np.einsum("nd,nd->n", part, part)
    return np.asarray(out / (2.0 * rows.shape[1]))
