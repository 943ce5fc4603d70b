"""Cases: numbers of a run and of a baseline, brought to the scale on which they are judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ldmbench.gating.match import Pair
from ldmbench.gating.verdict import Item
from ldmbench.records.number import Number, number
from ldmbench.schema.baseline import AcceptedCell, Baseline, Rule
from ldmbench.schema.record import Measure, Score

__all__ = ["ALL_CELLS", "Pending", "counted", "over_all_cells", "ratio", "scaled", "timed"]

ALL_CELLS = "all cells"
"""Where an item names its cell: the mean over all of them."""
EXACT = 1e-9
"""Relative difference below which counted numbers are equal."""
SMALL = {2: 1.196, 3: 1.495, 4: 1.363, 5: 1.206, 6: 1.2, 7: 1.14, 8: 1.129, 9: 1.107}
"""n -> what the median absolute deviation of n numbers falls short of that of many."""


@dataclass(frozen=True)
class Pending:
    """A number to be judged, before it is known how many there are.

    Attributes:
        item: the verdict but for its verdict.
        rule: by which it is judged.
        new: this run's number, on the rule's scale.
        accepted: those of the accepted runs.
        group: what stands on the same training, or on the same timing.
        key: name and protocol, by which cells are pooled; means over all cells are pooled together.
        bias: half-width that no repeating would show.
        logs: the scale is logarithmic: it is a speed.
        cells: the accepted cells that `accepted` come from.
        equal: it was measured once: an accepted run has the very same number.
    """

    item: Item
    rule: Rule
    new: Number
    accepted: tuple[Number, ...]
    group: str
    key: tuple[str, str]
    bias: float = 0.0
    logs: bool = False
    cells: tuple[AcceptedCell, ...] = ()
    equal: bool = False


def scaled(found: Score | Measure, replicates: Sequence[float], scale: float) -> Number:
    """Return a score or measure in shares of the accepted value, or as it is."""
    assert found.value is not None
    low, high = (None if end is None else end / scale for end in (found.low, found.high))
    values = np.asarray(replicates, dtype=np.float64) / scale if len(replicates) else None
    return number(
        found.value / scale,
        low,
        high,
        confidence=getattr(found, "confidence", None),
        replicates=values,
    )


def counted(item: Item, rule: Rule) -> Item:
    """Judge a number that is counted: any change beyond the tolerance is one."""
    assert item.now is not None
    assert item.before is not None
    scale = (abs(item.before) or 1.0) if rule.relative else 1.0
    by = (item.now - item.before) / scale
    loss = by if rule.better == "lower" else -by
    margin = max(rule.tolerance, EXACT)
    item = replace(item, change=by, low=by, high=by, tolerance=rule.tolerance, method="exact")
    if loss > margin:
        return replace(item, verdict="regressed", reason="counted, and worse")
    if loss < -margin:
        return replace(item, verdict="improved", reason="counted, and better")
    return replace(item, verdict="pass", reason="counted, and equal")


def ratio(pairs: Sequence[Pair], new: Measure, item: Item, rule: Rule) -> Item | Pending:
    """Prepare a speed in yardsticks: how much of the fixed workload's time it takes."""
    sides = [(p.cell, p.measure) for p in pairs if p.measure is not None and p.measure.ratios]
    there = [measure for _, measure in sides]
    if not new.ratios or not there:
        where = "the baseline" if new.ratios else "this run"
        return replace(item, reason=f"timed without a yardstick in {where}; measure it again")
    if any(least <= 0 for m in (new, *there) for least in (m.value or 0, min(m.ratios))):
        return replace(item, reason="a time of 0 cannot be compared")
    mean = sum(_log_stick(m, rule) for m in there) / len(there)
    return Pending(
        item=replace(item, relative=True),
        rule=rule,
        new=timed(new, rule),
        accepted=tuple(timed(m, rule) for m in there),
        group=str(new.ratios),  # cells that differ in their seeds alone share one timing
        key=(item.name, ""),
        bias=rule.yardstick_doubt * abs(_log_stick(new, rule) - mean),
        logs=True,
        cells=tuple(cell for cell, _ in sides),
    )


def over_all_cells(cases: Sequence[Pending], baseline: Baseline) -> list[Pending]:
    """Return, for each speed that several cells have, the geometric mean over those cells.

    What makes every cell a little slower shows here first: each timing stands apart from the
    others, so that their errors average out. Accepted runs that have not all of the cells are left
    out of it.
    """
    runs = {id(cell): number for number, run in enumerate(baseline.runs) for cell in run.cells}
    found = []
    for key in dict.fromkeys(case.key for case in cases if case.logs):
        timings = {case.group: case for case in cases if case.key == key}
        accepted = [
            {runs[id(cell)]: number for cell, number in zip(case.cells, case.accepted, strict=True)}
            for case in timings.values()
        ]
        common = sorted(set.intersection(*(set(numbers) for numbers in accepted)))
        if len(timings) > 1 and common:
            means = [_mean_number([numbers[run] for numbers in accepted]) for run in common]
            found.append(_mean_of(list(timings.values()), means))
    return found


def _mean_of(cases: Sequence[Pending], accepted: Sequence[Number]) -> Pending:
    """Return the mean of the speeds of several cells; it is about yardsticks, not seconds."""
    first = cases[0]
    rule = first.rule
    if rule.mean_tolerance is not None:
        rule = rule.model_copy(update={"tolerance": rule.mean_tolerance})
    return replace(
        first,
        rule=rule,
        item=replace(first.item, cell=ALL_CELLS, before=None, now=None),
        new=_mean_number([case.new for case in cases]),
        accepted=tuple(accepted),
        group=first.item.name,
        key=("", ALL_CELLS),
        bias=sum(case.bias for case in cases) / len(cases),
        equal=all(case.equal for case in cases),
    )


def _mean_number(numbers: Sequence[Number]) -> Number:
    error = math.sqrt(sum(item.up**2 for item in numbers)) / len(numbers)
    return Number(sum(item.value for item in numbers) / len(numbers), error, error)


def timed(found: Measure, rule: Rule) -> Number:
    """Return the logarithm of a speed in yardsticks, with the error of its median ratio.

    The error is 1.2533 standard deviations over sqrt(n), as of a normal median, with the median
    absolute deviation for the standard deviation (its bias at small n taken off: Croux, Rousseeuw
    1992): a repeat that was disturbed moves neither.
    """
    logs, n = np.log(np.asarray(found.ratios, dtype=np.float64)), len(found.ratios)
    middle = float(np.median(logs))
    spread = 1.4826 * SMALL.get(n, n / (n - 0.8)) * float(np.median(np.abs(logs - middle)))
    error = 1.2533 * spread / math.sqrt(n)
    return Number(-middle if rule.better == "higher" else middle, error, error)


def _log_stick(found: Measure, rule: Rule) -> float:
    """Return the logarithm of the yardstick's own time, but for a constant."""
    value = math.log(found.value or 1.0)
    middle = float(np.median(np.log(found.ratios)))
    return (-value if rule.better == "higher" else value) - middle
