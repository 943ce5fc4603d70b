"""Trends: series of a measure over the runs of a suite, as small drawings; the door brings them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ldmbench.catalog.metrics import BY_RANK
from ldmbench.report.quantities import number, quantity_of

__all__ = ["MOST_TRENDS", "Trend", "Trends", "trends_of"]

MOST_TRENDS = 60
"""Series that a page shows; those with a step come first."""

WIDTH, HEIGHT, MARGIN = 240.0, 46.0, 6.0
_RANK = {"regressed": 0, "changed": 1, "improved": 2}
_FIRST = (*BY_RANK, "throughput", "latency", "peak_memory")


@dataclass(frozen=True)
class Trend:
    """One series: its line in a box of WIDTH x HEIGHT, its marks, and the words for it.

    Attributes:
        line: points of the line, as SVG writes them.
        dots: x, y, what the dot says, and '' or the direction of the step that begins there.
    """

    cell: str
    label: str
    made: str
    line: str
    dots: tuple[tuple[float, float, str, str], ...]
    first: str
    last: str
    steps: tuple[tuple[str, str], ...]
    alt: str

    @property
    def verdict(self) -> str:
        """The gravest direction of its steps, or ''."""
        return min((d for d, _ in self.steps), key=lambda d: _RANK.get(d, 3), default="")


@dataclass(frozen=True)
class Trends:
    """What a page shows of a suite's history, and how much it leaves out."""

    shown: tuple[Trend, ...]
    left_out: int
    runs: int


def trends_of(history: Sequence[Mapping[str, Any]]) -> Trends:
    """Return the trends of series as `ldmbench history --json` writes them.

    Args:
        history: mappings with cell, name, made, points (run, started, value, error) and steps
            (run, before, after, direction); series of one run are no history.
    """
    long = [s for s in history if len(s["points"]) > 1]
    made = sorted((_trend(s) for s in long), key=lambda pair: pair[0])
    runs = {point["run"] for s in long for point in s["points"]}
    return Trends(
        tuple(t for _, t in made[:MOST_TRENDS]), max(0, len(made) - MOST_TRENDS), len(runs)
    )


def _trend(series: Mapping[str, Any]) -> tuple[tuple[int, int], Trend]:
    """Return a series with what it is sorted by: gravest step, then the best known measure."""
    points, name = series["points"], series["name"]
    values = [float(p["value"]) for p in points]
    label = quantity_of(name).label
    steps = tuple((s["direction"], _step_text(s)) for s in series["steps"])
    begins = {s["run"]: s["direction"] for s in series["steps"]}
    places = _places(values)
    dots = tuple(
        (x, y, f"{p['run']}: {number(v)}", begins.get(p["run"], ""))
        for (x, y), p, v in zip(places, points, values, strict=True)
    )
    words = "; ".join(text for _, text in steps) or "no step"
    trend = Trend(
        cell=series["cell"],
        label=label,
        made=series["made"],
        line=" ".join(f"{x:g},{y:g}" for x, y in places),
        dots=dots,
        first=number(values[0]),
        last=number(values[-1]),
        steps=steps,
        alt=f"{label} over {len(values)} runs, from {number(values[0])} to {number(values[-1])}: "
        f"{words}",
    )
    known = _FIRST.index(name) if name in _FIRST else len(_FIRST)
    return (_RANK.get(trend.verdict, len(_RANK)), known), trend


def _step_text(step: Mapping[str, Any]) -> str:
    change = f"{number(float(step['before']))} → {number(float(step['after']))}"
    return f"{step['direction']} at {step['run']}: {change}"


def _places(values: Sequence[float]) -> list[tuple[float, float]]:
    """Spread values over the box; a flat series lies in its middle."""
    low, span = min(values), max(values) - min(values)
    flat = span <= 1e-12 * max(abs(v) for v in values)
    wide, high = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
    return [
        (
            round(MARGIN + wide * i / (len(values) - 1), 1),
            round(HEIGHT / 2 if flat else MARGIN + high * (1 - (v - low) / span), 1),
        )
        for i, v in enumerate(values)
    ]
