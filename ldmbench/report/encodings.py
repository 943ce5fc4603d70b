"""Encodings: the axes, marks and layers that all charts share, and what the page steers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

import altair as alt

from ldmbench.report.lines import Key, Look
from ldmbench.report.points import Point
from ldmbench.report.subject import Subject, datasets_of
from ldmbench.report.theme import DASHES, SHAPES

__all__ = [
    "KEPT",
    "NO_COLOUR",
    "PLAIN",
    "colour",
    "finish",
    "lines_and_points",
    "marks_of",
    "padded",
    "scale_for",
    "spot",
    "ticks_for",
    "tips",
    "x_axis",
    "y_axis",
]

WIDTH, FACET_WIDTH, HEIGHT = 480, 530, 300
NO_COLOUR = "#8a8f98"
"""Of what no colour tells apart: it reads on light and dark pages."""

COLOURS = 8
"""Colours before they come round (theme.py)."""
LOG_FROM = 8
"""An axis is logarithmic when its largest value is this many times its smallest."""

PLAIN = ".6~g"
"""Ticks in digits; without the 6 Vega takes as many as tell ticks apart and writes 20 as 2e+1."""

KEPT = (
    "keep == null || ("
    "(keep.series == null || datum.series == null || indexof(keep.series, datum.series) >= 0) && "
    "(keep.dataset == null || datum.dataset == null || indexof(keep.dataset, datum.dataset) >= 0)"
    " && (keep.steps == null || datum.steps == null || indexof(keep.steps, datum.steps) >= 0))"
)
"""What the page's filters leave; in a saved figure `keep` is null and everything stays."""


STEERED = frozenset({"cell", "series"})
"""Fields that the page reads of a point under the pointer."""

WRAP = 56
"""Letters of a legend's name on one line."""

# at each place from which more than a line is left: up to a comma, else as many letters as fit
_PIECE = f"regexp('(?=.{{{WRAP + 1}}})(.{{1,{WRAP - 1}}},|.{{{WRAP}}})', 'g')"
_NAME = f"split(replace(datum.label, {_PIECE}, '$1\\n'), '\\n')"


def lines_and_points(
    look: Look,
    subject: Subject,
    points: Sequence[Point],
    x: alt.X,
    *,
    order: str,
    text: str = "",
) -> list[object]:
    """Return the layers of a line figure: lines, intervals, points and, if few, their labels."""
    base = alt.Chart().transform_filter(KEPT).encode(x=x)
    y = y_axis(subject, points)
    marks = marks_of(look, points, outline=0)
    dash = {"strokeDash": marks.pop("strokeDash"), "color": marks["color"]}
    line = base.mark_line(strokeWidth=2).encode(
        y=y,
        detail=alt.Detail("line:N"),
        order=alt.Order(f"{order}:Q"),
        opacity=spot(0.15, "series"),
        **dash,
    )
    bars = base.mark_rule(strokeWidth=1.3).encode(
        y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=marks["color"], opacity=spot(0.15, "series")
    )
    dots = base.mark_point(filled=True, size=75).encode(
        y=y, tooltip=tips(subject), opacity=spot(0.25, "series"), size=_grown(), **marks
    )
    layers = [line, bars, dots]
    if text and len(points) <= 80:
        named = base.transform_filter("datum.labelled")
        layers.append(named.mark_text(dy=14, dx=9).encode(y=y, text=alt.Text(f"{text}:Q")))
    return layers


def _marked(points: Sequence[Point]) -> list[Point]:
    """Mark the lowest line of each model: the labels of all its lines would lie on one another.

    A name is data and never part of an expression, which Vega would parse.
    """
    heights: dict[tuple[Any, Any], dict[str, list[float]]] = {}
    for p in points:
        own = heights.setdefault((p["series"], p["dataset"]), {})
        own.setdefault(p.get("line", ""), []).append(p.get("quality", 0.0))
    lowest = {own: min(of, key=lambda name: fmean(of[name])) for own, of in heights.items()}
    return [
        {**p, "labelled": p.get("line", "") == lowest[p["series"], p["dataset"]]} for p in points
    ]


def marks_of(
    look: Look, points: Sequence[Point], *, dash: bool = True, outline: float | None = None
) -> dict[str, Any]:
    """Return colour, shape and dash of the points, with their legends.

    `outline` is the width of the lines around the legend's symbols; 0 where all are filled, as
    the dash would break them up.
    """
    names = look.form.names
    legend = _legend(look.form, points, outline)
    if look.form != look.colour:
        legend.symbolFillColor = legend.symbolStrokeColor = NO_COLOUR
    field = f"{look.form.field}:N"
    shapes = alt.Scale(domain=list(names), range=_cycle(SHAPES, len(names)))
    marks = {
        "color": colour(look, points, outline=outline),
        "shape": alt.Shape(field, scale=shapes, legend=legend),
    }
    if dash:
        dashes = alt.Scale(domain=list(names), range=_cycle(DASHES, len(names)))
        marks["strokeDash"] = alt.StrokeDash(field, scale=dashes, legend=legend)
    return marks


def colour(
    look: Look, points: Sequence[Point], *, channel: Any = alt.Color, outline: float | None = None
) -> Any:
    """Return the colour (or fill); a model has the same in every figure of a run."""
    scale = alt.Scale(domain=list(look.colour.names))
    legend = _legend(look.colour, points, outline)
    return channel(f"{look.colour.field}:N", scale=scale, legend=legend)


def _legend(key: Key, points: Sequence[Point], outline: float | None) -> alt.Legend:
    there = {p[key.field] for p in points}
    values = [n for n in key.names if n in there]
    longest = min(WRAP, max((len(n) for n in values), default=1))
    room = 84 * (2 if len(datasets_of(points)) > 1 else 1)  # letters below the panels
    columns = max(1, min(6, room // (longest + 4)))
    legend = alt.Legend(title=key.title, values=values, columns=columns)
    if any(len(name) > WRAP for name in values):
        legend.labelExpr = _NAME
    if outline is not None:
        legend.symbolStrokeWidth = outline
    return legend


def _cycle(marks: Sequence[object], count: int) -> list[object]:
    """Repeat marks; each time colours and marks would come round together, begin one later."""
    together = math.lcm(COLOURS, len(marks))
    return [marks[(i + i // together) % len(marks)] for i in range(count)]


def spot(dim: float, field: str = "cell", channel: Any = alt.OpacityValue) -> Any:
    """Dim what is not under the pointer, here or in the table."""
    test = f"hovered == null || hovered.{field} == datum.{field}"
    return channel(dim, condition={"test": test, "value": 1})


def _grown() -> object:
    test = "hovered != null && hovered.cell == datum.cell"
    return alt.SizeValue(75, condition={"test": test, "value": 240})


def scale_for(points: Sequence[Point], field: str) -> alt.Scale:
    """Return a logarithmic scale for values that span much, else a linear one."""
    values = [p[field] for p in points if p.get(field) is not None]
    wide = bool(values) and min(values) > 0 and max(values) > LOG_FROM * min(values)
    return alt.Scale(type="log", nice=False) if wide else alt.Scale(zero=False)


def padded(scale: alt.Scale) -> alt.Scale:
    """Give a scale room at both ends, so that no point or label sits on an axis."""
    scale.padding = 20
    return scale


def ticks_for(points: Sequence[Point], *fields: str) -> list[float] | None:
    """Return round ticks (1, 2, 5) of a logarithmic axis, or None for a linear one."""
    values = [p[f] for p in points for f in fields if p.get(f) is not None]
    if scale_for(points, fields[0]).type != "log" or min(values) <= 0:
        return None
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = (1, 2, 5) if last - first <= 4 else (1,)
    return [float(f"{s}e{k}") for k in range(first, last + 1) for s in steps]


def x_axis(
    field: str, title: str, points: Sequence[Point], *, values: Sequence[float] | None = None
) -> alt.X:
    """Return the horizontal axis; `values` are the only ticks where given."""
    ticks = ticks_for(points, field)
    large = max((p[field] for p in points if p.get(field) is not None), default=0) >= 1000
    axis = alt.Axis(format="~s" if large else PLAIN, tickCount=5, labelFlush=True)
    if values:
        axis = alt.Axis(values=list(values), format="d")
    elif ticks:
        axis.values = ticks
    scale = scale_for(points, field)
    if values and max(values) > 4 * min(values):
        scale = alt.Scale(type="log", nice=False, padding=12)
    return alt.X(f"{field}:Q", title=title, scale=padded(scale), axis=axis)


def y_axis(subject: Subject, points: Sequence[Point]) -> alt.Y:
    """Return the vertical axis of a figure of quality, which says which way is better."""
    better = subject.quality.best if subject.quality else None
    title = f"{subject.label}, {better} is better" if better else subject.label
    axis = alt.Axis(tickCount=6)
    if ticks := ticks_for(points, "low", "high"):
        axis = alt.Axis(values=ticks, format=PLAIN)
    return alt.Y("quality:Q", title=title, scale=padded(scale_for(points, "low")), axis=axis)


def tips(subject: Subject) -> list[object]:
    """Return what a point says under the pointer."""
    fields = [
        alt.Tooltip("cell:N", title="Cell"),
        alt.Tooltip("quality:Q", title=subject.label, format=".4~g"),
        alt.Tooltip("low:Q", title="low", format=".4~g"),
        alt.Tooltip("high:Q", title="high", format=".4~g"),
    ]
    if any("throughput" in p for p in subject.points):
        fields.append(alt.Tooltip("throughput:Q", title="images/s", format=".4~g"))
    return fields


def finish(layers: Sequence[Any], points: Sequence[Point]) -> Any:
    """Layer, facet by dataset where there are several, and add what the page steers.

    The data hold the fields that the layers read, whatever those are, and no others.
    """
    params = [alt.param(name="keep", value=None), alt.param(name="hovered", value=None)]
    datasets = datasets_of(points)
    fields = STEERED.union(*(_read(layer.to_dict(validate=False)) for layer in layers), {"dataset"})
    used = [{k: v for k, v in p.items() if k in fields} for p in _marked(points)]
    chart = alt.layer(*layers)
    if len(datasets) > 1:
        facet = alt.Facet("dataset:N", title=None, sort=datasets)
        chart = chart.properties(width=FACET_WIDTH, height=HEIGHT)
        chart = chart.facet(facet=facet, columns=2, spacing=36, data=alt.Data(values=[]))
    else:
        chart = chart.properties(width=WIDTH, height=HEIGHT)
    chart = chart.add_params(*params)
    chart.data = alt.Data(values=used)  # last: every step before would copy it
    return chart


def _read(spec: Any) -> Iterator[str]:
    """Yield the fields that a specification reads, in encodings and in expressions."""
    if isinstance(spec, str):
        yield from re.findall(r"datum\.(\w+)", spec)
    elif isinstance(spec, list):
        for part in spec:
            yield from _read(part)
    elif isinstance(spec, dict):
        if isinstance(field := spec.get("field"), str):
            yield field
        for part in spec.values():
            yield from _read(part)
