"""Cases: numbers of a run and of a baseline, brought to the scale on which they are judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ldmbench.gate.interval import Number, number
from ldmbench.gate.match import Pair
from ldmbench.gate.verdict import Item
from ldmbench.schema.baseline import Rule
from ldmbench.schema.record import Measure, Score

__all__ = ["Case", "counted", "ratio", "scaled", "timed"]

EXACT = 1e-9
"""Relative difference below which counted numbers are equal."""


@dataclass(frozen=True)
class Case:
    """A number to be judged, before it is known how many there are.

    Attributes:
        item: the verdict but for its verdict.
        rule: by which it is judged.
        new: this run's number, on the rule's scale.
        accepted: those of the accepted runs.
        group: what stands on the same training.
        key: name and protocol; cells of one key are pooled.
        bias: half-width that no repeating would show.
        logs: the scale is logarithmic.
    """

    item: Item
    rule: Rule
    new: Number
    accepted: tuple[Number, ...]
    group: str
    key: tuple[str, str]
    bias: float = 0.0
    logs: bool = False


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


def ratio(pairs: Sequence[Pair], new: Measure, item: Item, rule: Rule) -> Item | Case:
    """Prepare a speed in yardsticks: how much of the fixed workload's time it takes."""
    there = [p.measure for p in pairs if p.measure is not None and p.measure.ratios]
    if not new.ratios or not there:
        where = "the baseline" if new.ratios else "this run"
        return replace(item, reason=f"not timed beside a yardstick in {where}; measure it anew")
    if any(least <= 0 for m in (new, *there) for least in (m.value or 0, min(m.ratios))):
        return replace(item, reason="a time of 0 cannot be compared")
    mean = sum(_log_stick(m, rule) for m in there) / len(there)
    return Case(
        item=replace(item, relative=True),
        rule=rule,
        new=timed(new, rule),
        accepted=tuple(timed(m, rule) for m in there),
        group=item.cell,  # timed apart from other cells, whatever was trained together
        key=(item.name, ""),
        bias=rule.doubt * abs(_log_stick(new, rule) - mean),
        logs=True,
    )


def timed(found: Measure, rule: Rule) -> Number:
    """Return the logarithm of a speed in yardsticks, with the error of its median ratio.

    The error is 1.2533 standard deviations over sqrt(n), as of a normal median, with the median
    absolute deviation for the standard deviation: a repeat that was disturbed moves neither.
    """
    logs = np.log(np.asarray(found.ratios, dtype=np.float64))
    middle = float(np.median(logs))
    spread = 1.4826 * float(np.median(np.abs(logs - middle)))
    error = 1.2533 * spread / math.sqrt(len(logs))
    return Number(-middle if rule.better == "higher" else middle, error, error)


def _log_stick(found: Measure, rule: Rule) -> float:
    """Return the logarithm of the yardstick's own time, but for a constant."""
    value = math.log(found.value or 1.0)
    middle = float(np.median(np.log(found.ratios)))
    return (-value if rule.better == "higher" else value) - middle
