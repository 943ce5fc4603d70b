"""The difference of two scores: interval, p-value, verdict, the correction for being several."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

from ldmbench.errors import InputError
from ldmbench.records.number import Array, correlation, joint_error, number
from ldmbench.schema.record import Record, Score

__all__ = [
    "Difference",
    "Verdict",
    "check_levels",
    "difference",
    "holm",
    "judged",
    "p_value",
]

Verdict = Literal["same", "differs", "undecided"]
SAME_ARTEFACT = "the very same artefact"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """B minus A for one score of one pair of cells.

    Attributes:
        difference: B - A; None where a value is missing.
        low: lower end of its interval; None where there is none.
        high: upper end of its interval.
        p: two-sided p-value of "no difference".
        p_holm: p corrected for all scores compared together (Holm 1979).
        verdict: "differs" when p_holm is small; "same" when the interval lies within the margin;
            else "undecided": too few samples, or too noisy.
        method: how the interval was made, or why there is none.
    """

    cell_a: str
    cell_b: str
    name: str
    protocol: str
    n: int
    a: float | None
    b: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    verdict: Verdict = "undecided"
    method: str = ""
    signature: str


def difference(
    x: Record,
    y: Record,
    s: Score,
    t: Score,
    *,
    replicates: tuple[Array | None, Array | None],
    level: float,
) -> Difference:
    """Return B minus A, its interval and its p-value, not yet judged.

    Two scores of one artefact are the same by construction, however few its samples are.

    Args:
        x: the record of A.
        y: the record of B.
        s: a score of A.
        t: the same score of B.
        replicates: of both, where they are at hand.
        level: confidence of the interval.
    """
    row = Difference(
        cell_a=x.cell.id,
        cell_b=y.cell.id,
        name=s.name,
        protocol=s.protocol,
        n=s.n,
        a=s.value,
        b=t.value,
        signature=s.signature,
    )
    if s.value is None or t.value is None:
        return replace(row, method=s.reason or t.reason or "no value")
    gap = t.value - s.value
    if gap == 0 and s.replicates is not None and s.replicates == t.replicates:
        return replace(row, difference=0.0, low=0.0, high=0.0, p=1.0, method=SAME_ARTEFACT)
    if None in (s.low, s.high, t.low, t.high):
        return replace(row, difference=gap, method=f"no interval: {s.method or t.method}")
    one, other = replicates
    first = number(s.value, s.low, s.high, confidence=s.confidence, replicates=one)
    second = number(t.value, t.low, t.high, confidence=t.confidence, replicates=other)
    rho, method = correlation(one, other)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    down = joint_error(second.down, first.up, rho)
    up = joint_error(second.up, first.down, rho)
    towards = down if gap > 0 else up
    return replace(
        row,
        difference=gap,
        low=gap - z * down,
        high=gap + z * up,
        p=p_value(gap, towards),
        method=method,
    )


def p_value(gap: float, error: float) -> float:
    """Return the two-sided p-value of "no difference" for a gap and its standard error."""
    if gap == 0:
        return 1.0
    return 0.0 if error == 0 else math.erfc(abs(gap) / error / math.sqrt(2))


def check_levels(confidence: float, margin: float) -> None:
    """Refuse a confidence or margin that is no share.

    Raises:
        InputError: naming both.
    """
    if not 0 < confidence < 1 or margin <= 0:
        raise InputError(
            f"confidence {confidence} and margin {margin} found; confidence must be between 0 and"
            " 1, margin above 0"
        )


def judged(rows: Sequence[Difference], *, confidence: float, margin: float) -> Iterator[Difference]:
    """Yield differences with their corrected p-values and verdicts.

    Args:
        rows: all that are compared together.
        confidence: 1 - confidence bounds the chance of any false "differs".
        margin: "same" needs an interval within this share of the larger value.
    """
    tested: Mapping[int, float] = {i: r.p for i, r in enumerate(rows) if r.p is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    for i, row in enumerate(rows):
        if i not in corrected:
            yield row
            continue
        yield replace(
            row,
            p_holm=corrected[i],
            verdict=_verdict(row, corrected[i], confidence=confidence, margin=margin),
        )


def _verdict(row: Difference, p: float, *, confidence: float, margin: float) -> Verdict:
    assert row.a is not None
    assert row.b is not None
    assert row.low is not None
    assert row.high is not None
    if p <= 1 - confidence:
        return "differs"
    within = margin * max(abs(row.a), abs(row.b))
    return "same" if -within <= row.low and row.high <= within else "undecided"


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for being several (Holm 1979, a step-down Bonferroni)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    found, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        found[i] = highest
    return found
