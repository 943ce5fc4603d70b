"""Precision, recall, density and coverage: which samples lie in whose neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ldmbench.errors import InputError
from ldmbench.metrics.arrays import Array, whole
from ldmbench.metrics.blocks import Table, exact_squared, identities, sweep, tables
from ldmbench.metrics.engine import Block, engine_of
from ldmbench.metrics.frechet import check_pair
from ldmbench.metrics.neighbours import NearestSearch, Neighbourhood

__all__ = [
    "BallCount",
    "DensityCoverage",
    "PrecisionRecall",
    "density_coverage",
    "precision_recall",
]

Rule = Literal["le", "lt"]
MANY_NEAR_TIES = 2048  # near-ties in one block from which on equal rows are looked for first


@dataclass(frozen=True)
class PrecisionRecall:
    """Shares in [0, 1]: generated samples near the reference, and the other way round."""

    precision: float
    recall: float


@dataclass(frozen=True)
class DensityCoverage:
    """Density (at least 0, about 1 on equal distributions) and coverage in [0, 1]."""

    density: float
    coverage: float


def precision_recall(
    generated: object, reference: object, *, k: int = 3, rule: Rule = "le"
) -> PrecisionRecall:
    """Return improved precision and recall (Kynkäänniemi et al. 2019, eq. 1 to 3).

    Args:
        generated: (N, D) features, N > k.
        reference: (M, D) features, M > k.
        k: a sample's ball reaches its k-th nearest other sample of the same set.
        rule: "le" counts distance <= radius (torch-fidelity), "lt" distance < radius (prdc).

    Raises:
        InputError: bad features, unlike widths, k below 1 or not below N and M, unknown rule.

    Examples:
        >>> real = [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0], [8.0], [9.0]]
        >>> precision_recall(real[:5], real, k=1)
        PrecisionRecall(precision=1.0, recall=0.6)
    """
    first, second = _tables(generated, reference, k, rule)
    of_reference = BallCount(first, second, nearest(second, (k,)), k, rule)
    of_generated = BallCount(first, second, nearest(first, (k,)), k, rule, balls="rows")
    sweep(first, second, [of_reference, of_generated])
    return PrecisionRecall(
        float((of_reference.per_point > 0).mean()), float((of_generated.per_point > 0).mean())
    )


def density_coverage(
    generated: object, reference: object, *, k: int = 5, rule: Rule = "lt"
) -> DensityCoverage:
    """Return density and coverage (Naeem et al. 2020, section 3).

    Args:
        generated: (N, D) features, N > k.
        reference: (M, D) features, M > k.
        k: a reference sample's ball reaches its k-th nearest other reference sample.
        rule: "lt" counts distance < radius (prdc), "le" distance <= radius.

    Raises:
        InputError: bad features, unlike widths, k below 1 or not below N and M, unknown rule.

    Examples:
        >>> real = [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0], [8.0], [9.0]]
        >>> density_coverage(real[:5], real, k=2)
        DensityCoverage(density=0.6, coverage=0.5)
    """
    first, second = _tables(generated, reference, k, rule)
    balls = BallCount(first, second, nearest(second, (k,)), k, rule)
    sweep(first, second, [balls])
    return DensityCoverage(float(balls.per_point.mean() / k), float((balls.per_ball > 0).mean()))


def nearest(table: Table, ks: tuple[int, ...]) -> Neighbourhood:
    """Return radii of one set, from its own blocks."""
    search = NearestSearch(table, ks)
    sweep(table, None, [search])
    return search.finish()


class BallCount:
    """Visitor of generated x reference blocks that counts which points lie in which balls.

    Args:
        x: rows of the blocks.
        y: columns of the blocks.
        hood: radii of the set that owns the balls.
        k: which radius.
        rule: whether the border belongs to the ball.
        balls: "cols" when the balls stand around y and the points are x; "rows" for the contrary.
        ring: also list pairs beyond the k-th radius and within the next one (see `rings`).

    Attributes:
        per_point: (points,) in how many balls a point lies.
        per_ball: (balls,) how many points lie in a ball.
        partner: (points,) sum of the numbers of the balls around a point: the ball, where one.
        guest: (balls,) sum of the numbers of the points in a ball: the point, where one.
    """

    def __init__(
        self,
        x: Table,
        y: Table,
        hood: Neighbourhood,
        k: int,
        rule: Rule,
        *,
        balls: Literal["cols", "rows"] = "cols",
        ring: bool = False,
    ) -> None:
        self._x, self._y, self._by_cols = x, y, balls == "cols"
        self._squared, self._le, self._ring = hood.squared[k], rule == "le", ring
        points, owners = (x, y) if self._by_cols else (y, x)
        # A ball whose next radius is 0 too stands on a crowd of equal rows; no ring lies around it.
        self._wide = hood.outer[k] > 4.0 * x.rows.shape[1] * x.slack * owners.half
        self.per_point = np.zeros(len(points.rows), dtype=np.int64)
        self.per_ball = np.zeros(len(owners.rows), dtype=np.int64)
        self.partner, self.guest = np.zeros_like(self.per_point), np.zeros_like(self.per_ball)
        self._names: list[Array] | None = None
        self._pairs: list[tuple[Array, Array]] = []
        self._came: list[tuple[Array, Array, Array]] = []
        # In units of nearness, -d^2 / (2 D); every pair that may be inside must pass.
        scale = -1.0 / (2.0 * x.rows.shape[1])
        self._reach = scale * (hood.outer[k] if ring else self._squared)
        lean = 1.0 - x.slack
        row, col = lean * x.half, lean * y.half
        if self._by_cols:
            col = col + self._reach
        else:
            row = row + self._reach
        self._row, self._col = (x.engine.put(bound, x.dtype) for bound in (row, col))

    def part(self, rows: slice, cols: slice, gram: Block) -> tuple[Array, Array, Array]:
        """Return pairs (row, column, nearness) that may be inside."""
        inside = (gram - self._col[cols]) >= self._row[rows][:, None]
        flat, found = self._x.engine.picked(gram, inside)
        i, j = np.divmod(flat, gram.shape[1])
        products = found.astype(np.float64)
        i += rows.start
        j += cols.start
        return i, j, products - self._x.half[i] - self._y.half[j]

    def fold(self, rows: slice, cols: slice, partial: tuple[Array, Array, Array]) -> None:
        """Gather the pairs of a block."""
        self._came.append(partial)

    def close(self, rows: slice, cols: slice) -> None:
        """Decide the pairs of a block and count them."""
        i, j, near = (np.concatenate(parts) for parts in zip(*self._came, strict=True))
        self._came.clear()
        point, ball = (i, j) if self._by_cols else (j, i)
        scale = -2.0 * self._x.rows.shape[1]
        squared, limit = scale * near, self._squared[ball]
        blur = -scale * self._x.slack * (self._x.half[i] + self._y.half[j])
        inside = squared < limit
        unsure = np.flatnonzero(np.abs(squared - limit) <= blur)
        if len(unsure):
            exact, bound = self._exact(i[unsure], j[unsure]), limit[unsure]
            inside[unsure] = exact <= bound if self._le else exact < bound
        if self._ring:
            ring = ~inside & self._wide[ball]
            self._pairs.append((point[ring], ball[ring]))
        point, ball = point[inside], ball[inside]
        np.add.at(self.per_point, point, 1)
        np.add.at(self.per_ball, ball, 1)
        np.add.at(self.partner, point, ball)
        np.add.at(self.guest, ball, point)

    def _exact(self, i: Array, j: Array) -> Array:
        """Return exact squared distances; many near-ties at once are mostly equal rows."""
        if len(i) <= MANY_NEAR_TIES:
            return exact_squared(self._x.rows, self._y.rows, i, j)
        if self._names is None:
            self._names = identities(self._x.rows, self._y.rows)
        out = np.zeros(len(i))
        other = np.flatnonzero(self._names[0][i] != self._names[1][j])
        out[other] = exact_squared(self._x.rows, self._y.rows, i[other], j[other])
        return out

    def rings(self) -> tuple[Array, Array]:
        """Return pairs (point, ball) where the point lies just outside: up to the next radius."""
        if not self._pairs:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        points, balls = zip(*self._pairs, strict=True)
        return np.concatenate(points), np.concatenate(balls)


def check_k(n: int, k: int, name: str) -> None:
    """Refuse a neighbourhood that a set is too small for.

    Raises:
        InputError: k below 1 or not below n.
    """
    if whole(k, "k") < 1 or n <= k:
        raise InputError(
            f"k = {k} neighbours need at least {max(2, k + 1)} {name} samples and k >= 1; "
            f"found {n} samples"
        )


def _tables(generated: object, reference: object, k: int, rule: str) -> tuple[Table, Table]:
    if rule not in ("le", "lt"):
        raise InputError(f"unknown neighbour rule '{rule}'; there are: le, lt")
    x, y = check_pair(generated, reference, least=1)
    check_k(len(x), k, "generated")
    check_k(len(y), k, "reference")
    return tables(x, y, engine=engine_of(generated, reference))
