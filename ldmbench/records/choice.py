"""Choices: the guidance of each model, chosen on sample seeds that are not scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from ldmbench.catalog.metrics import SCORES
from ldmbench.records.axes import axes_of, is_seed
from ldmbench.schema.record import Choice, Record, Score
from ldmbench.schema.sample import Choose

__all__ = ["with_choices"]


def with_choices(records: Sequence[Record], choose: Choose | None) -> list[Record]:
    """Return the records of a run with what was chosen for each model.

    Cells that agree in everything but seeds and the field that is chosen have one choice: of the
    values whose mean over all cells of the choice is the best, the first in the suite's order.

    Args:
        records: of all cells, in their order.
        choose: what the suite chooses; None: nothing.
    """
    if choose is None:
        return list(records)
    groups: dict[tuple[tuple[str, str], ...], list[Record]] = {}
    for record in records:
        groups.setdefault(_key(record, choose.axis), []).append(record)
    choices = {key: _choice(own, choose) for key, own in groups.items()}
    return [_with(record, choices[_key(record, choose.axis)]) for record in records]


def _with(record: Record, choice: Choice | None) -> Record:
    if choice is None:
        return record
    chosen = choice.value is not None and _value(record, choice.axis) == choice.value
    own = choice.model_copy(update={"chosen": chosen})
    return record.model_copy(update={"choice": own})


def _key(record: Record, axis: str) -> tuple[tuple[str, str], ...]:
    axes = axes_of(record.cell)
    return tuple(sorted((n, v) for n, v in axes.items() if n != axis and not is_seed(n)))


def _value(record: Record, axis: str) -> str:
    return axes_of(record.cell).get(axis, "none")


def _choice(records: Sequence[Record], choose: Choose) -> Choice | None:
    """Return what is chosen for some cells, or None where none of them helps to choose."""
    scores: dict[str, list[Score | None]] = {}
    for record in (r for r in records if r.cell.chooses):
        score = next((s for s in record.scores if s.name == choose.metric), None)
        scores.setdefault(_value(record, choose.axis), []).append(score)
    if not scores:
        return None
    means = {value: _mean(own) for value, own in scores.items()}
    found = [s for own in scores.values() for s in own if s is not None]
    reason = _reason(means, {s.signature for s in found}, choose)
    known = {value: mean for value, mean in means.items() if mean is not None}
    pick = min if SCORES[choose.metric].better == "lower" else max
    best = None if reason else pick(known, key=lambda value: known[value])
    equal = [v for v, m in known.items() if best and v != best and m == known[best]]
    return Choice(
        axis=choose.axis,
        value=best,
        chosen=False,
        metric=choose.metric,
        protocol=found[0].protocol if found else "",
        rule=choose.rule,
        seeds=choose.seeds,
        means=means,
        equal=tuple(equal),
        reason=reason,
    )


def _mean(scores: Sequence[Score | None]) -> float | None:
    """Return the mean of scores, or None where one has no value."""
    values = [s.value for s in scores if s is not None and s.value is not None]
    return fmean(values) if len(values) == len(scores) else None


def _reason(means: Mapping[str, float | None], made: set[str], choose: Choose) -> str | None:
    """Say why nothing can be chosen."""
    lost = ", ".join(value for value, mean in means.items() if mean is None)
    if lost:
        return f"no {choose.metric} at {choose.axis} {lost} on the seeds of the choice"
    if len(made) > 1:
        return f"{choose.metric} was not computed in the same way for all values"
    return None
