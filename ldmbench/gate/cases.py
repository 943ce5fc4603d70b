"""Cases: numbers of a run and of a baseline, brought to the scale on which they are judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ldmbench.gate.interval import Number, number
from ldmbench.gate.match import Pair, group_of, measure_of
from ldmbench.gate.verdict import Item
from ldmbench.schema.baseline import AcceptedCell, Rule
from ldmbench.schema.record import Measure, Record, Score

__all__ = ["Case", "counted", "ratio", "scaled"]

EXACT = 1e-9
"""Relative difference below which counted numbers are equal."""
YARDSTICK = "yardstick"


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


def ratio(
    record: Record, pairs: Sequence[Pair], new: Measure, item: Item, rule: Rule
) -> Item | Case:
    """Prepare a speed in yardsticks: how much of the fixed workload's time it takes."""
    stick = _stick(record, new)
    sticks = [_stick(pair.cell, new) for pair in pairs]
    there = [(p.measure, s) for p, s in zip(pairs, sticks, strict=True) if p.measure and s]
    if stick is None or not there:
        where = "this run" if stick is None else "the baseline"
        return replace(item, reason=f"no yardstick in {where}: add the probe throughput")
    if not _positive(new, stick, *(part for pair in there for part in pair)):
        return replace(item, reason="a time of 0 cannot be compared")
    mean = sum(math.log(s.value or 1.0) for _, s in there) / len(there)
    return Case(
        item=replace(item, relative=True),
        rule=rule,
        new=_log_quotient(new, stick, rule),
        accepted=tuple(_log_quotient(m, s, rule) for m, s in there),
        group=group_of(pairs[0].cell),
        key=(item.name, ""),
        bias=rule.doubt * abs(math.log(stick.value or 1.0) - mean),
        logs=True,
    )


def _stick(cell: AcceptedCell | Record, beside: Measure) -> Measure | None:
    found = measure_of(cell, YARDSTICK)
    return found if found and found.device == beside.device else None


def _positive(*measures: Measure) -> bool:
    return all((m.value or 0) > 0 for m in measures)


def _log_quotient(found: Measure, stick: Measure, rule: Rule) -> Number:
    """Return the logarithm of a speed times the yardstick, or of a time over it, with errors."""
    own, other = _log(found), _log(stick)
    value = own.value + other.value if rule.better == "higher" else own.value - other.value
    near, far = (other.down, other.up) if rule.better == "higher" else (other.up, other.down)
    return Number(value, math.hypot(own.down, near), math.hypot(own.up, far))


def _log(found: Measure) -> Number:
    assert found.value is not None
    low, high = (math.log(end) if end and end > 0 else None for end in (found.low, found.high))
    return number(math.log(found.value), low, high)
