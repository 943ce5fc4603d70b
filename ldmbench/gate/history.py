"""History: a series per measure over the runs of a store, and the run at which it stepped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ldmbench.gate.rules import ON_DEVICES_ONLY, RULES
from ldmbench.gate.steps import Step, noise_of, spark, steps
from ldmbench.schema.record import Measure, Record, Run

__all__ = ["Point", "Series", "StepTold", "history"]

Z95 = 1.959964


@dataclass(frozen=True)
class Point:
    """One run's number."""

    run: str
    started: str
    value: float
    error: float = 0.0


@dataclass(frozen=True)
class StepTold:
    """A step, in words: the first run of the new level, and which way it went."""

    run: str
    started: str
    before: float
    after: float
    direction: Literal["regressed", "improved", "changed"]


@dataclass(frozen=True)
class Series:
    """The numbers of one measure of one cell that were made alike, oldest first.

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
    steps: tuple[StepTold, ...] = field(default=())

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
                    point = Point(run.id, run.started, value, error)
                    found.setdefault((record.cell.id, name, made), []).append(point)
    return [
        Series(cell, name, made, tuple(points), _told(name, points))
        for (cell, name, made), points in found.items()
    ]


def _numbers(record: Record) -> Iterable[tuple[str, str, float, float]]:
    """Yield (name, how it was made, value, standard error)."""
    for score in record.scores:
        if score.value is not None:
            yield score.name, score.signature, score.value, _error(score.low, score.high)
    sticks = {m.device: m.value for m in record.measures if m.name == "yardstick"}
    for measure in record.measures:
        if measure.value is None:
            continue
        factor = _factor(measure, sticks.get(measure.device))
        counted = measure.name in RULES and RULES[measure.name].by == "exact"
        anywhere = (counted and measure.name not in ON_DEVICES_ONLY) or not measure.device
        where = "" if anywhere else f"{measure.device}, "
        batch = f", batch {measure.batch}" if measure.batch else ""
        unit = measure.unit if factor == 1 else f"{measure.unit} x yardstick"
        made = f"{where}{unit}{batch}"
        error = _error(measure.low, measure.high)
        yield measure.name, made, measure.value * factor, error * factor


def _factor(measure: Measure, stick: float | None) -> float:
    """Return what takes the machine's own speed out of a timed measure."""
    rule = RULES.get(measure.name)
    if rule is None or rule.by != "ratio" or not stick:
        return 1.0
    return stick if rule.better == "higher" else 1 / stick


def _error(low: float | None, high: float | None) -> float:
    return 0.0 if low is None or high is None else (high - low) / (2 * Z95)


def _told(name: str, points: Sequence[Point]) -> tuple[StepTold, ...]:
    values = [point.value for point in points]
    exact = name in RULES and RULES[name].by == "exact"
    errors = sorted(point.error for point in points)
    noise = 0.0 if exact else noise_of(values, least=errors[len(errors) // 2])
    return tuple(_step(name, points[s.at], s) for s in steps(values, noise=noise))


def _step(name: str, first: Point, step: Step) -> StepTold:
    rule = RULES.get(name)
    direction: Literal["regressed", "improved", "changed"] = "changed"
    if rule is not None and rule.by != "watched":
        worse = (step.after > step.before) == (rule.better == "lower")
        direction = "regressed" if worse else "improved"
    return StepTold(first.run, first.started, step.before, step.after, direction)
