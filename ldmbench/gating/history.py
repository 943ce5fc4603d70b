"""History: a series per measure over the runs of a store, and the run at which it stepped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ldmbench.gating.cases import timed
from ldmbench.gating.change_points import Step, exact_steps, first_of_each, noise_of, spark, steps
from ldmbench.gating.rules import ANYWHERE, RULES
from ldmbench.schema.baseline import Rule
from ldmbench.schema.record import Measure, Record, Run

__all__ = ["LevelStep", "Point", "Series", "history", "history_data"]

Z95 = 1.959964


@dataclass(frozen=True)
class Point:
    """One run's number."""

    run: str
    started: str
    value: float
    error: float = 0.0


@dataclass(frozen=True)
class LevelStep:
    """A step, in words: the first run of the new level, and which way it went."""

    run: str
    started: str
    before: float
    after: float
    direction: Literal["regressed", "improved", "changed"]


@dataclass(frozen=True)
class Series:
    """The numbers of one measure of one cell that were computed in the same way, oldest first.

    Attributes:
        cell: the cell's id.
        name: the score or measure; speeds are in yardsticks, as the gate compares them.
        made: the signature of a score; device, unit and batch of a measure.
        points: one per run.
        steps: changes of level.
    """

    cell: str
    name: str
    made: str
    points: tuple[Point, ...]
    steps: tuple[LevelStep, ...] = field(default=())

    @property
    def sparkline(self) -> str:
        """The series as bars."""
        return spark([point.value for point in self.points])

    def to_json(self) -> dict[str, Any]:
        """Return this as strict JSON."""
        return {**asdict(self), "sparkline": self.sparkline}


def history(
    runs: Iterable[tuple[Run, Sequence[Record]]], *, names: Sequence[str] = ()
) -> list[Series]:
    """Return every series over these runs.

    Numbers with unlike signatures, or from unlike devices, are different series: a new signature
    is no step.

    Args:
        runs: with their records, oldest first.
        names: only these measures; when empty, all that the gate judges.
    """
    found: dict[tuple[str, str, str], list[Point]] = {}
    for run, records in runs:
        for record in records:
            if record.status == "failed":
                continue
            for name, made, value, error in _numbers(record):
                if name in names or (not names and name in RULES):
                    points = found.setdefault((record.cell.id, name, made), [])
                    if not points or points[-1].run != run.id:  # else: of a like protocol
                        points.append(Point(run.id, run.started, value, error))
    return [
        Series(cell, name, made, tuple(points), _level_steps(name, points))
        for (cell, name, made), points in found.items()
    ]


def history_data(
    suite: str, runs: Sequence[tuple[Run, Sequence[Record]]], *, names: Sequence[str] = ()
) -> dict[str, object]:
    """Return what a page of a suite's history shows, as strict JSON.

    `runs` lists every run with its place in time; a series has the measure's better direction
    ("lower", "higher" or null), its points (place of the run, value, standard error), its steps
    (place of the first run on the new level, direction, levels) and a sparkline.

    Args:
        suite: its name.
        runs: with their records, oldest first.
        names: only these measures; when empty, all that the gate judges.
    """
    place = {run.id: at for at, (run, _) in enumerate(runs)}
    found = history(runs, names=names)
    return {
        "suite": suite,
        "runs": [{"run": run.id, "started": run.started, "state": run.state} for run, _ in runs],
        "series": [_series_data(series, place) for series in found],
        "regressed": [
            {"cell": series.cell, "name": series.name, "at": place[step.run], **asdict(step)}
            for series in found
            for step in series.steps
            if step.direction == "regressed"
        ],
    }


def _series_data(series: Series, place: Mapping[str, int]) -> dict[str, object]:
    rule = RULES.get(series.name)
    data = series.to_json()
    data["better"] = None if rule is None or rule.by == "recorded_only" else rule.better
    data["points"] = [{"at": place[p.run], **asdict(p)} for p in series.points]
    data["steps"] = [{"at": place[step.run], **asdict(step)} for step in series.steps]
    return data


def _numbers(record: Record) -> Iterable[tuple[str, str, float, float]]:
    """Yield (name, how it was made, value, standard error)."""
    for score in record.scores:
        if score.value is not None:
            yield score.name, score.signature, score.value, _error(score.low, score.high)
    for measure in record.measures:
        if measure.value is None:
            continue
        rule = RULES.get(measure.name)
        timed_beside = rule is not None and rule.by == "ratio" and bool(measure.ratios)
        anywhere = measure.name in ANYWHERE or not measure.device
        unit = f"in {measure.yardstick}" if timed_beside else measure.unit
        batch = f"batch {measure.batch}" if measure.batch else ""
        made = ", ".join(filter(None, ("" if anywhere else measure.device, unit, batch)))
        if timed_beside and rule is not None:
            yield measure.name, made, *_in_yardsticks(measure, rule)
        else:
            yield measure.name, made, measure.value, _error(measure.low, measure.high)


def _in_yardsticks(found: Measure, rule: Rule) -> tuple[float, float]:
    """Return images per yardstick, or yardsticks per call, and the standard error."""
    number = timed(found, rule)
    value = math.exp(number.value) * (found.batch or 1 if rule.better == "higher" else 1)
    return value, value * number.up


def _error(low: float | None, high: float | None) -> float:
    return 0.0 if low is None or high is None else (high - low) / (2 * Z95)


def _level_steps(name: str, points: Sequence[Point]) -> tuple[LevelStep, ...]:
    rule = RULES.get(name, Rule())
    return tuple(_step(rule, points[step.at], step) for step in _changes(rule, points))


def _changes(rule: Rule, points: Sequence[Point]) -> list[Step]:
    """Return the changes of level.

    Where half of the runs repeat the number of the run before to the digit, the series is
    reproducible: what moves it is a change, and what it is known to err by is its noise. Else the
    noise is estimated from the series too, as if all points were apart: m runs that share a number
    know no more than one run, as m points of sqrt(m) times the noise do.
    """
    values = [point.value for point in points]
    if rule.by == "exact":
        return exact_steps(values, noise=0.0)
    firsts, known = first_of_each(values), _known_noise(rule, points)
    if 2 * (len(values) - len(firsts)) >= len(values) - 1:
        return exact_steps(values, noise=known)
    noise = noise_of([values[at] for at in firsts], least=known)
    return steps(values, noise=noise * math.sqrt(len(values) / len(firsts)))


def _known_noise(rule: Rule, points: Sequence[Point]) -> float:
    """Return the standard error that a point is known to have, or the rule's where larger."""
    errors = sorted(point.error for point in points)
    middle = sorted(abs(point.value) for point in points)[len(points) // 2]
    declared = rule.noise * (middle if rule.relative else 1.0)
    return max(errors[len(errors) // 2], declared)


def _step(rule: Rule, first: Point, step: Step) -> LevelStep:
    """Return a step in words: regressed or improved only beyond the rule's tolerance."""
    direction: Literal["regressed", "improved", "changed"] = "changed"
    accepted = rule.tolerance * (abs(step.before) if rule.relative else 1.0)
    if rule.by != "recorded_only" and abs(step.after - step.before) > accepted:
        worse = (step.after > step.before) == (rule.better == "lower")
        direction = "regressed" if worse else "improved"
    return LevelStep(first.run, first.started, step.before, step.after, direction)
