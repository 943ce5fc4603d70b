"""Kernel distance (KID): the unbiased squared maximum mean discrepancy of a cubic kernel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, check_seed, whole
from ldmbench.metrics.blocks import Table, sweep, tables
from ldmbench.metrics.engine import HOST, Block, Engine, engine_of
from ldmbench.metrics.frechet import check_pair
from ldmbench.metrics.kernel_far import centre_of, far_distances

__all__ = [
    "KernelDistance",
    "KernelSums",
    "Subsets",
    "far_distance",
    "kdd",
    "kernel_distance",
    "kernel_tables",
]

LARGEST_MEAN_SQUARE = (
    3.0  # |x|^2 / D up to which sums of cubes of float32 products are good to 1e-6
)


@dataclass(frozen=True)
class KernelDistance:
    """Mean and population standard deviation of the kernel distance over subsets."""

    mean: float
    std: float


def kernel_distance(
    generated: object,
    reference: object,
    *,
    subsets: int | None = 100,
    subset_size: int = 1000,
    seed: int = 2020,
) -> KernelDistance:
    """Return the unbiased MMD^2 with kernel (x.y/D + 1)^3 (Binkowski et al. 2018, section 4).

    Args:
        generated: (N, D) features.
        reference: (M, D) features.
        subsets: how many pairs of subsets are drawn, as torch-fidelity draws them; None takes all
            samples once (Gretton et al. 2012, eq. 3), in memory linear in N.
        subset_size: samples in a subset, without replacement.
        seed: of the RandomState that draws.

    Returns:
        Mean and population standard deviation over subsets (0 for None); negative values are kept.

    Raises:
        InputError: bad features, unlike widths, or a subset larger than a set.

    Examples:
        >>> kernel_distance([[0.0], [1.0]], [[2.0], [3.0]], subsets=None)
        KernelDistance(mean=297.5, std=0.0)
    """
    x, y = check_pair(generated, reference)
    drawn = None
    if subsets is not None:
        drawn = Subsets.draw(len(x), len(y), subsets=subsets, size=subset_size, seed=seed)
    centre = centre_of(y)
    if centre is not None:
        return far_distance(x, y, centre, drawn)
    first, second = kernel_tables(*tables(x, y, engine=engine_of(generated, reference)))
    if drawn is None:
        return _full(first, second)
    return drawn.together(first, second) if drawn.shared() else drawn.apart(first, second)


def kdd(
    generated: object,
    reference: object,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> KernelDistance:
    """Return the kernel distance of DINOv2 features as layer6ai-labs/dgm-eval computes it.

    That of `kernel_distance`, with subsets drawn as `metrics/mmd.py` there draws them after
    `np.random.seed(seed)`: of the reference first, of min(subset_size, N, M) samples. Features are
    class tokens that are not normalised (arXiv:2306.04675).

    Args:
        generated: (N, D) features.
        reference: (M, D) features.
        subsets: how many pairs of subsets are drawn.
        subset_size: samples in a subset; of smaller sets all are taken.
        seed: of the RandomState that draws.

    Raises:
        InputError: bad features or unlike widths.

    Examples:
        >>> kdd([[0.0], [1.0]], [[2.0], [3.0]], subsets=10)
        KernelDistance(mean=297.5, std=0.0)
    """
    x, y = check_pair(generated, reference)
    drawn = Subsets.draw_as_dgm_eval(len(x), len(y), subsets=subsets, size=subset_size, seed=seed)
    centre = centre_of(y)
    if centre is not None:
        return far_distance(x, y, centre, drawn)
    first, second = kernel_tables(*tables(x, y, engine=engine_of(generated, reference)))
    return drawn.together(first, second) if drawn.shared() else drawn.apart(first, second)


def far_distance(x: Array, y: Array, centre: Array, drawn: Subsets | None) -> KernelDistance:
    """Return the distance of checked features that lie far from zero, about `centre_of(y)`."""
    everything = [(np.arange(len(x)), np.arange(len(y)))]
    pairs = everything if drawn is None else zip(drawn.generated, drawn.reference, strict=True)
    values = far_distances(x, y, centre, pairs)
    return KernelDistance(float(values.mean()), float(values.std()))


def kernel_tables(first: Table, second: Table) -> tuple[Table, Table]:
    """Return both tables in float64 if float32 would show: entries grow as (|x|^2 / D + 1)^3."""
    wide = np.dtype(np.float64)
    if first.dtype == wide or 2.0 * max(first.half.max(), second.half.max()) <= LARGEST_MEAN_SQUARE:
        return first, second
    finer = float(np.finfo(wide).eps / np.finfo(first.dtype).eps)
    one, two = (
        replace(
            table,
            dtype=wide,
            slack=table.slack * finer,
            held=None if table.held is None else table.engine.put(table.rows, wide),
        )
        for table in (first, second)
    )
    return one, two


@dataclass(frozen=True, eq=False)
class Subsets:
    """Which samples are in which subset.

    Attributes:
        generated: (S, size) row numbers into the generated set.
        reference: (S, size) row numbers into the reference.
        n: size of the generated set.
        m: size of the reference.
    """

    generated: Array
    reference: Array
    n: int
    m: int

    @classmethod
    def draw(cls, n: int, m: int, *, subsets: int, size: int, seed: int) -> Subsets:
        """Draw as torch-fidelity 0.4.0 does: one RandomState, generated first in each round.

        Raises:
            InputError: a subset larger than a set or smaller than two, or no subsets.
        """
        subsets, size, seed = (
            whole(subsets, "subsets"),
            whole(size, "subset_size"),
            check_seed(seed),
        )
        if subsets < 1 or size < 2 or size > min(n, m):
            raise InputError(
                f"{subsets} subsets of {size} samples were asked of {n} generated and {m} "
                f"reference samples; at least one subset of 2 to {min(n, m)} samples is possible"
            )
        rng = np.random.RandomState(seed)
        pairs = [
            (rng.choice(n, size, replace=False), rng.choice(m, size, replace=False))
            for _ in range(subsets)
        ]
        return cls(np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs]), n, m)

    @classmethod
    def draw_as_dgm_eval(cls, n: int, m: int, *, subsets: int, size: int, seed: int) -> Subsets:
        """Draw as dgm-eval does: of the reference first, and no more than there are."""
        size = min(size, n, m)
        turned = cls.draw(m, n, subsets=subsets, size=size, seed=seed)
        return cls(turned.reference, turned.generated, n, m)

    def shared(self) -> bool:
        """Say whether one pass over all pairs costs less than one product per subset."""
        each = 3 * self.generated.size * self.generated.shape[1]
        return bool((self.n**2 + self.m**2) / 2 + self.n * self.m < each)

    def members(self, rows: Array, n: int, dtype: np.dtype[Any]) -> Array:
        """Return the (n, S) table of ones where a sample is in a subset."""
        out = np.zeros((n, len(rows)), dtype=dtype)
        out[rows, np.arange(len(rows))[:, None]] = 1.0
        return out

    def together(self, x: Table, y: Table) -> KernelDistance:
        """Return the distance from one pass over all pairs: each kernel entry is formed once."""
        return self.combine(*self.sums(x, y))

    def sums(self, x: Table, y: Table) -> tuple[KernelSums, KernelSums, KernelSums]:
        """Return the sums of generated and generated, reference and reference, and of both."""
        in_x = self.members(self.generated, self.n, x.dtype)
        in_y = self.members(self.reference, self.m, y.dtype)
        xx, yy, xy = (
            KernelSums(a, b, x.engine) for a, b in ((in_x, None), (in_y, None), (in_x, in_y))
        )
        for left, right, total in ((x, None, xx), (y, None, yy), (x, y, xy)):
            sweep(left, right, [total])
        return xx, yy, xy

    def combine(self, xx: KernelSums, yy: KernelSums, xy: KernelSums) -> KernelDistance:
        """Return the distance from the sums of the three blocks."""
        size = self.generated.shape[1]
        value = (xx.total + yy.total) / (size * (size - 1)) - 2.0 * xy.total / size**2
        return KernelDistance(float(value.mean()), float(value.std()))

    def apart(self, x: Table, y: Table) -> KernelDistance:
        """Return the distance from one product per subset."""
        size = self.generated.shape[1]
        values = []
        for left, right in zip(self.generated, self.reference, strict=True):
            a, b = (
                Table(t.rows[i], t.half[i], t.dtype, t.slack, t.engine).block(slice(None))
                for t, i in ((x, left), (y, right))
            )
            inner = _cubes(a, a, x, same=True) + _cubes(b, b, x, same=True)
            values.append(inner / (size * (size - 1)) - 2.0 * _cubes(a, b, x) / size**2)
        return KernelDistance(float(np.mean(values)), float(np.std(values)))


class KernelSums:
    """Sums of kernel entries over pairs: by row, by column, and within subsets.

    Entries of a sample with itself are left out where both sides are one set.

    Args:
        rows: (N, S) membership of the rows in subsets, or (N, 0).
        cols: (M, S) membership of the columns, or None when both sides are one set.
        engine: where products are formed.
    """

    def __init__(self, rows: Array, cols: Array | None, engine: Engine = HOST) -> None:
        self._engine, self._same = engine, cols is None
        self._left = engine.put(rows)
        self._right = self._left if cols is None else engine.put(cols)
        self.by_row = np.zeros(len(rows))
        self.by_col = self.by_row if cols is None else np.zeros(len(cols))
        self.total = np.zeros(rows.shape[1])

    def part(self, rows: slice, cols: slice, gram: Block) -> tuple[Array, Array, Array]:
        """Return row sums, column sums and subset sums of some rows of a block."""
        kernel = gram + 1.0
        square = kernel * kernel
        kernel *= square
        here = rows.start - cols.start
        if self._same and 0 <= here < gram.shape[1]:
            at = np.arange(len(kernel))
            kernel[at, at + here] = 0.0
        inside = kernel @ self._right[cols]
        inside *= self._left[rows]
        host = self._engine.host
        return host(kernel.sum(1)), host(kernel.sum(0)), self._engine.totals(inside)

    def fold(self, rows: slice, cols: slice, partial: tuple[Array, Array, Array]) -> None:
        """Add the sums of some rows; blocks off the diagonal of one set count for both sides."""
        by_row, by_col, inside = partial
        beside = self._same and not (cols.start <= rows.start < cols.stop)
        self.by_row[rows] += by_row
        if beside or not self._same:
            self.by_col[cols] += by_col
        self.total += 2.0 * inside if beside else inside

    def close(self, rows: slice, cols: slice) -> None:
        """Nothing is left to do."""


def _full(first: Table, second: Table) -> KernelDistance:
    n, m = len(first.rows), len(second.rows)
    none_x, none_y = np.zeros((n, 0), first.dtype), np.zeros((m, 0), first.dtype)
    sides = ((none_x, None), (none_y, None), (none_x, none_y))
    sums = [KernelSums(rows, cols, first.engine) for rows, cols in sides]
    for (left, right), total in zip(
        ((first, None), (second, None), (first, second)), sums, strict=True
    ):
        sweep(left, right, [total])
    xx, yy, xy = (float(s.by_row.sum()) for s in sums)
    return KernelDistance(xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2.0 * xy / (n * m), 0.0)


def _cubes(a: Block, b: Block, table: Table, *, same: bool = False) -> float:
    """Return the sum of the kernel of two sets; rows in their precision, their sum in float64.

    Entries of a sample with itself are left out, not taken off: long rows would drown the others.
    """
    with table.engine.exact():
        gram = (a * (1.0 / a.shape[1])) @ b.T
    gram += 1.0
    square = gram * gram
    gram *= square
    if same:
        at = np.arange(len(gram))
        gram[at, at] = 0.0
    return float(table.engine.host(gram.sum(1)).astype(np.float64).sum())
