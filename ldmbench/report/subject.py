"""Subjects: what the charts of one run draw from, and the words around a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ldmbench.report import points as pt
from ldmbench.report.cells import series
from ldmbench.report.points import Point
from ldmbench.report.quantities import Quantity, embedded_evaluators, number, quantity_of
from ldmbench.schema.record import Extras, Record

__all__ = [
    "Figure",
    "Subject",
    "corner",
    "datasets_of",
    "describe",
    "figure_of",
    "longest",
    "siblings",
]


@dataclass(frozen=True)
class Figure:
    """A chart with the words around it."""

    chart: Any
    title: str
    caption: str
    alt: str
    wide: bool = False


@dataclass(frozen=True)
class Subject:
    """What all charts of a run draw from; `names` fixes each series' colour, shape and dash."""

    records: Sequence[Record]
    extras: Extras
    names: tuple[str, ...]
    quality: Quantity | None
    label: str
    points: tuple[Point, ...]

    @property
    def trained(self) -> list[Point]:
        """Points of each model's longest training: without the checkpoints on the way."""
        return longest(self.points, "progress")

    @classmethod
    def of(
        cls, records: Sequence[Record], extras: Extras, *, quality: str | None = None
    ) -> Subject:
        """Gather the points of a run's records, judged by `quality` or else by the headline."""
        names = tuple(dict.fromkeys(series(r.cell) for r in records))
        judged = quantity_of(quality) if quality else pt.headline(records)
        points = pt.points_of(records, judged.name) if judged else []
        label = _label(records, judged) if judged else ""
        return cls(records, extras, names, judged, label, tuple(points))


def longest(points: Sequence[Point], field: str) -> list[Point]:
    """Return the points at their series' largest value of a field."""
    top: dict[str, float] = {}
    for p in points:
        top[p["series"]] = max(p[field], top.get(p["series"], p[field]))
    return [p for p in points if p[field] == top[p["series"]]]


def siblings(points: Sequence[Point]) -> str:
    """Say what several lines of one model differ in."""
    named = {p["line"] for p in points} - {p["series"] for p in points}
    parts = {part.rpartition(" ")[0] for line in named for part in line.split(", ")[1:]}
    return f" Lines of one model differ in: {', '.join(sorted(parts)).lower()}." if parts else ""


def datasets_of(points: Sequence[Point]) -> list[str]:
    """Return the datasets of some points, in order."""
    return list(dict.fromkeys(p["dataset"] for p in points if p["dataset"] is not None))


def figure_of(
    chart: Any, points: Sequence[Point], title: str, caption: str, alt_text: str
) -> Figure:
    """Put the words around a chart; one with several datasets is wide."""
    wide = len(datasets_of(points)) > 1
    return Figure(chart.properties(description=alt_text), title, caption, alt_text, wide)


def corner(quality: Quantity, *, more: bool) -> str:
    """Name the corner of a figure in which the best cells lie."""
    height = "Lower" if quality.better == "lower" else "Upper"
    return f"{height} {'right' if more else 'left'}"


def describe(title: str, quality: Quantity, points: Sequence[Point]) -> str:
    """Return the text that stands for a figure of quality: its size and its best cells."""
    pick = min if quality.better == "lower" else max
    parts = [f"{title}: {len(points)} cells, {len({p['line'] for p in points})} lines"]
    for dataset in datasets_of(points):
        best = pick((p for p in points if p["dataset"] == dataset), key=lambda p: p["quality"])
        parts.append(f"on {dataset} the best is {best['cell']} with {number(best['quality'])}")
    return "; ".join(parts) + "."


def _label(records: Sequence[Record], quality: Quantity) -> str:
    signatures = (s.signature for r in records for s in r.scores if s.name == quality.name)
    names = embedded_evaluators(next(signatures, ""))
    return f"{quality.label} ({', '.join(names)})" if names else quality.label
