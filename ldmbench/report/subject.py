"""Subjects: what the charts of one run draw from, and the words around a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ldmbench.report import points as pt
from ldmbench.report.cells import series
from ldmbench.report.lines import longest
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
    """What all charts of a run draw from; `names` fixes the colour of each series."""

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


def datasets_of(points: Sequence[Point]) -> list[str]:
    """Return the datasets of some points, in order."""
    return list(dict.fromkeys(p["dataset"] for p in points if p["dataset"] is not None))


def figure_of(
    chart: Any, points: Sequence[Point], title: str, caption: str, alt_text: str
) -> Figure:
    """Put the words around a chart; one with several datasets is wide."""
    wide = len(datasets_of(points)) > 1
    unlike = [name for name in datasets_of(points) if len(_ways(points, name)) > 1]
    if unlike:
        caption += (
            f" Numbers on {', '.join(unlike)} have different signatures: only those with equal"
            " signatures are ranked together."
        )
    chart.description = alt_text
    return Figure(chart, title, caption, alt_text, wide)


def corner(quality: Quantity, *, more: bool) -> str:
    """Say in which corner of a figure the best cells lie, where a better way is known."""
    if quality.best is None:
        return ""
    height = "Lower" if quality.best == "lower" else "Upper"
    return f" {height} {'right' if more else 'left'} is better."


def describe(title: str, quality: Quantity, points: Sequence[Point]) -> str:
    """Return the text that stands for a figure of quality: its size and its best cells."""
    pick = min if quality.best == "lower" else max
    parts = [f"{title}: {len(points)} cells, {len({p['line'] for p in points})} lines"]
    for dataset in datasets_of(points) if quality.best else ():
        ways = _ways(points, dataset)
        for place, same in enumerate(ways, start=1):
            best = pick(same, key=lambda p: p["quality"])
            where = dataset if len(ways) == 1 else f"{dataset}, way {place} of {len(ways)},"
            parts.append(f"on {where} the best is {best['cell']} with {number(best['quality'])}")
    return "; ".join(parts) + "."


def _ways(points: Sequence[Point], dataset: str) -> list[list[Point]]:
    """Return a dataset's points, those together whose scores have one signature."""
    found: dict[int | None, list[Point]] = {}
    for p in points:
        if p["dataset"] == dataset:
            found.setdefault(p.get("made"), []).append(p)
    return list(found.values())


def _label(records: Sequence[Record], quality: Quantity) -> str:
    signatures = (s.signature for r in records for s in r.scores if s.name == quality.name)
    names = embedded_evaluators(next(signatures, ""))
    return f"{quality.label} ({', '.join(names)})" if names else quality.label
