"""Worth: whether what first stages are measured by orders them as the samples of denoisers do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from statistics import fmean

import numpy as np

from ldmbench.catalog.measures import MEASURES
from ldmbench.catalog.metrics import RECONSTRUCTED, SCORES
from ldmbench.report.cells import IDENTITY, SEEDS, identity_of, varying, way
from ldmbench.report.points import scores_of, value_of
from ldmbench.report.quantities import quantity_of
from ldmbench.schema.record import Record, Score

__all__ = ["Ranks", "Worth", "exact_p", "spearman", "worth_of"]

LEAST = 4
"""Pairs below which no order is surprising: of three, each has a chance of a sixth."""
MOST = 8
"""Pairs up to which all orders are counted; of more, `DRAWS` are drawn."""
DRAWS = 20_000
PREDICTORS = tuple(row.name for row in (*SCORES.values(), *MEASURES.values()) if row.foretells)
JUDGED = next(row.of for row in RECONSTRUCTED.values() if row.interpolated)
"""The score of samples that the source of interpolated FID predicts."""
SETTING = tuple(name for name in IDENTITY if name not in SEEDS)


@dataclass(frozen=True)
class Ranks:
    """A rank correlation: of which measure, its value (None: no order), and its chance."""

    name: str
    rho: float | None
    p: float | None
    pairs: int


@dataclass(frozen=True)
class Worth:
    """Rank correlations of a setting, and what the first of them is in the other settings."""

    record: Record
    setting: str
    ranks: tuple[Ranks, ...]
    others: tuple[float, ...]

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        most = max(r.pairs for r in self.ranks)
        parts = [_written(r, most) for r in self.ranks]
        few = ""
        if most < LEAST:
            few = f"; {most} first stages are too few for a p-value, which takes {LEAST}"
        rest = ""
        if self.others:
            ends = dict.fromkeys(f"{end:.2f}" for end in (min(self.others), max(self.others)))
            rest = (
                f"; {quantity_of(self.ranks[0].name).label} in {len(self.others)} other"
                f" setting{'s' if len(self.others) > 1 else ''}: {' to '.join(ends)}"
            )
        return (
            f"Rank correlation (Spearman) with {quantity_of(JUDGED).label} of samples over"
            f" {most} first stages: {'; '.join(parts)}{few}{rest}."
        )


def spearman(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation, ties by their mean rank; None where one is constant."""
    from scipy.stats import spearmanr  # SciPy's statistics take a second to import

    if len(set(x)) < 2 or len(set(y)) < 2:
        return None
    return float(spearmanr(x, y).statistic)


def exact_p(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the two-sided chance of a rank correlation as far from 0, if any order is as likely.

    All orders of up to 8 pairs are counted; of more, 20,000 orders are drawn with a fixed seed,
    and the observed one counts as one of them.
    """
    from scipy.stats import rankdata

    a, b = (rankdata(side) - (len(side) + 1) / 2 for side in (x, y))
    found = abs(float(a @ b)) - 1e-9
    if len(a) <= MOST:
        return float((np.abs(b[_orders(len(b))] @ a) >= found).mean())
    rng = np.random.default_rng(0)
    sums = np.array([float(rng.permutation(b) @ a) for _ in range(DRAWS)])
    return float((1 + (np.abs(sums) >= found).sum()) / (1 + DRAWS))


@cache
def _orders(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.array(list(permutations(range(count))), dtype=np.int64)


def worth_of(records: Sequence[Record]) -> list[Worth]:
    """Return, for each dataset and task, the correlations of the setting with most first stages.

    A first stage gives one pair: the means over its seeds. Denoisers of one model of the suite,
    which differ in the first stage, are compared; of models with one first stage each, all.
    """
    groups = _groups(records)
    vary = [n for n in varying(records, always=()) if n in SETTING and n != "dataset"]
    found: list[Worth] = []
    for own in dict.fromkeys((r.cell.dataset, r.cell.conditioning) for r, _ in _judged(records)):
        made = []
        for group in groups:
            cell = group[0][0].cell
            ranks = _ranks(group) if (cell.dataset, cell.conditioning) == own else ()
            if ranks:
                made.append((group[0][0], ranks))
        if not made:
            continue
        record, ranks = max(made, key=lambda m: (m[1][0].pairs, m[0].cell.steps or 0))
        same = [r[0].rho for other, r in made if other is not record and r[0].name == ranks[0].name]
        others = tuple(rho for rho in same if rho is not None)
        found.append(Worth(record, way(identity_of(record.cell, vary)), ranks, others))
    return found


Judged = tuple[Record, Score]


def _judged(records: Sequence[Record]) -> Iterator[Judged]:
    """Yield the records of denoisers on first stages, with the score of their samples."""
    for record, score in scores_of(records, JUDGED):
        if record.cell.is_sampled and "autoencoder" in record.cell.stages:
            yield record, score


def _groups(records: Sequence[Record]) -> list[list[Judged]]:
    """Return records that differ in first stage and seeds alone, with their scores."""
    settings: dict[object, dict[str, list[Judged]]] = {}
    for record, score in _judged(records):
        cell = record.cell
        own = cell.dataset, score.signature, *identity_of(cell, SETTING).values()
        models = settings.setdefault(own, {})
        models.setdefault(cell.model.partition("[")[0], []).append((record, score))
    groups: list[list[Judged]] = []
    for models in settings.values():
        lone = all(len(_stages(of)) < 2 for of in models.values())
        groups += [[one for of in models.values() for one in of]] if lone else models.values()
    return groups


def _stages(group: Sequence[Judged]) -> set[str]:
    return {record.cell.stages["autoencoder"] for record, _ in group}


def _ranks(group: Sequence[Judged]) -> tuple[Ranks, ...]:
    """Return the correlation of every measure that two first stages or more of a group have."""
    found = []
    for name in PREDICTORS:
        pairs: dict[str, tuple[list[float], list[float]]] = {}
        for record, score in group:
            known = value_of(record, name)
            if known is not None and known.value is not None and score.value is not None:
                sides = pairs.setdefault(record.cell.stages["autoencoder"], ([], []))
                sides[0].append(known.value)
                sides[1].append(score.value)
        if len(pairs) < 2:
            continue
        x, y = ([fmean(sides[side]) for sides in pairs.values()] for side in (0, 1))
        rho = spearman(x, y)
        p = exact_p(x, y) if rho is not None and len(x) >= LEAST else None
        found.append(Ranks(name, rho, p, len(x)))
    return tuple(found)


def _written(ranks: Ranks, most: int) -> str:
    label = quantity_of(ranks.name).label
    if ranks.rho is None:
        return f"{label} has none, as all are equal"
    how = []
    if ranks.p is not None:
        drawn = "" if ranks.pairs <= MOST else ", of orders drawn at random"
        how.append(f"{'' if drawn else 'exact '}p = {ranks.p:.2g}{drawn}")
    if ranks.pairs != most:
        how.append(f"{ranks.pairs} first stages")
    return f"{label} {ranks.rho:.2f}" + (f" ({'; '.join(how)})" if how else "")
