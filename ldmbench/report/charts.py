"""Charts: each turns a run into one Altair chart, or a sentence why there is nothing to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from ldmbench.report import points as pt
from ldmbench.report.cells import series
from ldmbench.report.points import Point
from ldmbench.report.quantities import Quantity, embedded_evaluators, number
from ldmbench.report.theme import DASHES, SHAPES
from ldmbench.schema.record import Extras, Record

__all__ = [
    "Figure",
    "Subject",
    "coding",
    "first_stage_psnr",
    "first_stage_rfid",
    "guidance",
    "pareto_cost",
    "pareto_speed",
    "quality_compute",
    "quality_steps",
    "quality_throughput",
    "training_autoencoder",
    "training_denoiser",
]

WIDTH, FACET_WIDTH, HEIGHT = 480, 530, 300
LOG_FROM = 8
"""An axis is logarithmic when its largest value is this many times its smallest."""

# fmt: off
SHOWN = frozenset({
    "cell", "series", "dataset", "steps", "guidance", "f", "line", "quality", "low", "high",
    "front", "throughput", "total_device_days", "cost", "train_flops", "train_steps",
    "clip_score", "rate", "psnr", "rfid", "kind", "t", "bits_per_dim", "rmse", "step", "loss",
    "mark",
})
# fmt: on
"""Fields that some chart reads; the others stay out of the specification."""

KEPT = (
    "keep == null || ("
    "(keep.series == null || datum.series == null || indexof(keep.series, datum.series) >= 0) && "
    "(keep.dataset == null || datum.dataset == null || indexof(keep.dataset, datum.dataset) >= 0)"
    " && (keep.steps == null || datum.steps == null || indexof(keep.steps, datum.steps) >= 0))"
)
"""What the page's filters leave; in a saved figure `keep` is null and everything stays."""


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
        return _longest(self.points, "progress")

    @classmethod
    def of(cls, records: Sequence[Record], extras: Extras) -> Subject:
        """Gather the points of a run's records."""
        names = tuple(dict.fromkeys(series(r.cell) for r in records))
        quality = pt.headline(records)
        points = pt.points_of(records, quality.name) if quality else []
        label = _label(records, quality) if quality else ""
        return cls(records, extras, names, quality, label, tuple(points))


def quality_throughput(subject: Subject) -> Figure | str:
    """Draw quality against throughput: a line per model, a point per step count (Figure 7)."""
    quality = subject.quality
    points = [p for p in subject.trained if p.get("throughput")]
    if quality is None or len(points) < 2:
        return "Fewer than two cells have both a quality score and a throughput."
    x = _x("throughput", "Throughput, images/s", points)
    layers = _lines_and_points(subject, points, x, order="steps", text="steps")
    chart = _finish(layers, points)
    title = f"{quality.label} against throughput"
    caption = (
        "One line per model, one point per step count, as in Figure 7 of arXiv:2112.10752. "
        f"{_corner(quality, more=True)} is better. Bars are confidence intervals."
        + _siblings(points)
    )
    return _figure(chart, points, title, caption, _alt(title, quality, points))


def pareto_speed(subject: Subject) -> Figure | str:
    """Draw the front of quality against throughput."""
    return _pareto(subject, "throughput", "Throughput, images/s", "speed", more=True)


def pareto_cost(subject: Subject) -> Figure | str:
    """Draw the front of quality against what training cost."""
    if any("cost" in p for p in subject.points):
        return _pareto(subject, "cost", "Cost of training", "cost", more=False)
    return _pareto(subject, "total_device_days", "Training, device-days", "cost", more=False)


def quality_steps(subject: Subject) -> Figure | str:
    """Draw quality against the number of sampler steps, with error bars."""
    quality, points = subject.quality, subject.trained
    if quality is None or len({p["steps"] for p in points}) < 2:
        return "All cells sample with the same number of steps."
    x = _x("steps", "Sampler steps", points, values=sorted({p["steps"] for p in points}))
    chart = _finish(_lines_and_points(subject, points, x, order="steps"), points)
    title = f"{quality.label} against sampler steps"
    caption = "Bars are confidence intervals; where they overlap, more steps bought nothing sure."
    caption += _siblings(points)
    return _figure(chart, points, title, caption, _alt(title, quality, points))


def quality_compute(subject: Subject) -> Figure | str:
    """Draw quality against training compute, at the largest step count (Figure 6)."""
    quality = subject.quality
    field = next((n for n in _COMPUTE if any(n in p for p in subject.points)), "train_flops")
    points = [{**p, "line": p["track"]} for p in _longest(subject.points, "steps") if p.get(field)]
    if quality is None or not points:
        return "No cell has both a quality score and a training budget that was measured."
    if len({round(p[field], 12) for p in points}) < 2:
        return (
            f"All models were trained with the same budget ({number(points[0][field])} "
            f"{_COMPUTE[field]}); a list under `sample.progress` or `budget` makes this figure."
        )
    x = _x(field, f"Training compute, {_COMPUTE[field]}", points)
    chart = _finish(_lines_and_points(subject, points, x, order=field), points)
    title = f"{quality.label} against training compute"
    caption = (
        "Each model at its largest step count; a line joins the checkpoints of one training, as "
        "in Figure 6 of arXiv:2112.10752. The first stage's training is not counted here."
        + _siblings(points)
    )
    return _figure(chart, points, title, caption, _alt(title, quality, points))


def guidance(subject: Subject) -> Figure | str:
    """Draw quality along the guidance scale, against CLIP score where there is one."""
    quality = subject.quality
    points = [{**p, "line": p["sweep"]} for p in _longest(subject.trained, "steps")]
    if quality is None or len({p["guidance"] for p in points}) < 2:
        return "All cells sample with the same guidance scale."
    clip = all("clip_score" in p for p in points) and quality.name != "clip_score"
    x = _x(*(("clip_score", "CLIP score") if clip else ("guidance", "Guidance scale")), points)
    layers = _lines_and_points(subject, points, x, order="guidance", text="guidance")
    title = f"{quality.label} along the guidance scale"
    caption = "A line per model at its largest step count, labelled with the guidance scale."
    chart = _finish(layers, points)
    return _figure(chart, points, title, caption, _alt(title, quality, points))


def first_stage_psnr(subject: Subject) -> Figure | str:
    """Draw rate against PSNR of the first stages."""
    return _first_stage(subject, "psnr", "PSNR, dB", "Higher")


def first_stage_rfid(subject: Subject) -> Figure | str:
    """Draw rate against rFID of the first stages."""
    return _first_stage(subject, "rfid", "rFID", "Lower")


def coding(subject: Subject) -> Figure | str:
    """Draw the rate-distortion curve of progressive coding (arXiv:2006.11239, Figure 5)."""
    points = pt.coding_points(subject.records, subject.extras)
    if not points:
        return "No cell was probed for progressive coding (probe `coding`)."
    base = alt.Chart().transform_filter(KEPT)
    line = base.mark_line(strokeWidth=2, interpolate="monotone").encode(
        x=alt.X("bits_per_dim:Q", title="Rate, bits/dim", scale=alt.Scale(type="sqrt")),
        y=alt.Y("rmse:Q", title="Distortion, RMSE (0..255)"),
        order=alt.Order("t:Q", sort="descending"),
        detail="line:N",
        **_marks(subject.names, points),
        opacity=_spot(0.2, "series"),
    )
    title = "Progressive coding"
    text = (
        "Bits sent so far against the error of the image they give, over the timesteps "
        "(Ho et al., arXiv:2006.11239, section 4.3)."
    )
    alt_text = f"{title}: {len({p['line'] for p in points})} rate-distortion curves."
    return _figure(_finish([line], points), points, title, text, alt_text)


def training_denoiser(subject: Subject) -> Figure | str:
    """Draw the loss of the denoisers."""
    return _training(subject, "denoiser", "Training of the denoisers")


def training_autoencoder(subject: Subject) -> Figure | str:
    """Draw the loss of the first stages."""
    return _training(subject, "autoencoder", "Training of the first stages")


_COMPUTE = {"train_flops": "FLOP", "total_device_days": "device-days", "train_steps": "steps"}


def _longest(points: Sequence[Point], field: str) -> list[Point]:
    """Return the points at their series' largest value of a field."""
    top: dict[str, float] = {}
    for p in points:
        top[p["series"]] = max(p[field], top.get(p["series"], p[field]))
    return [p for p in points if p[field] == top[p["series"]]]


def _siblings(points: Sequence[Point]) -> str:
    """Say what several lines of one model differ in."""
    named = {p["line"] for p in points} - {p["series"] for p in points}
    parts = {part.rpartition(" ")[0] for line in named for part in line.split(", ")[1:]}
    return f" Lines of one model differ in: {', '.join(sorted(parts)).lower()}." if parts else ""


def _pareto(subject: Subject, field: str, label: str, what: str, *, more: bool) -> Figure | str:
    quality = subject.quality
    if quality is None or len({p.get(field) for p in subject.points} - {None}) < 2:
        return f"Fewer than two cells have both a quality score and a {what}."
    chosen = subject.trained if more else subject.points
    points = pt.front(chosen, field, quality, more=more)
    x = _x(field, label, points)
    on = alt.datum.front == "on the front"
    base = alt.Chart().transform_filter(KEPT)
    line = base.transform_filter(on).mark_line(
        interpolate="step-before" if more else "step-after", strokeWidth=1.5, opacity=0.7
    )
    line = line.encode(x=x, y=_y(subject, points), order=f"{field}:Q", color=alt.value("#8a8f98"))
    dots = base.mark_point(size=80).encode(
        x=x,
        y=_y(subject, points),
        **_marks(subject.names, points, dash=False),
        fillOpacity=alt.condition(on, alt.value(1), alt.value(0)),
        strokeOpacity=_spot(0.35),
        fill=_colour(subject.names, points, channel=alt.Fill),
        tooltip=_tips(subject),
    )
    text = (
        base.transform_filter(on)
        .mark_text(dy=13, dx=9)
        .encode(x=x, y=_y(subject, points), text="steps:Q")
    )
    title = f"Pareto front of quality against {what}"
    front = [p for p in points if p["front"] == "on the front"]
    caption = (
        "Filled: on the front, nothing measured is both better and "
        f"{'faster' if more else 'cheaper'}. Hollow: beaten by another cell of its dataset. "
        "Numbers are sampler steps."
    )
    alt_text = f"{title}: {len(front)} of {len(points)} cells are on the front: " + ", ".join(
        p["cell"] for p in front[:12]
    )
    return _figure(_finish([line, dots, text], points), points, title, caption, alt_text)


def _first_stage(subject: Subject, field: str, label: str, better: str) -> Figure | str:
    points = [p for p in pt.first_stages(subject.records) if p.get(field) is not None]
    if len({p["series"] for p in points}) < 2:
        return f"Fewer than two first stages have both a rate and a {label.partition(',')[0]}."
    kinds = tuple(dict.fromkeys(p["kind"] for p in points))
    marks = _marks(kinds, points, field="kind", title="Regularization")
    y = alt.Y(f"{field}:Q", title=label, scale=_padded(_scale(points, field)))
    x = _x("rate", "Rate, bits per pixel", points)
    base = alt.Chart().transform_filter(KEPT).encode(x=x, y=y)
    dash = {"strokeDash": marks.pop("strokeDash"), "color": marks["color"]}
    line = base.mark_line(strokeWidth=1.5).encode(order="rate:Q", **dash)
    dots = base.mark_point(filled=True, size=80).encode(
        **marks, opacity=_spot(0.35, "series"), tooltip=["series:N", "rate:Q", f"{field}:Q"]
    )
    text = base.mark_text(dy=-12).encode(text="f:N")
    title = f"First stages: rate against {label.partition(',')[0]}"
    caption = f"{better} is better, and left is fewer bits; the identity (f = 1) is left out."
    ends = min(points, key=lambda p: p["rate"]), max(points, key=lambda p: p["rate"])
    alt_text = f"{title}: " + "; ".join(
        f"{p['series']} has {number(p['rate'])} bits per pixel and {label} {number(p[field])}"
        for p in ends
    )
    return _figure(_finish([line, dots, text], points), points, title, caption, alt_text)


def _training(subject: Subject, stage: str, title: str) -> Figure | str:
    points = pt.curve_points(subject.extras, stage, subject.names)
    if not points:
        return f"No {stage} left a training curve: none was trained here."
    names = tuple(dict.fromkeys([*subject.names, *(p["series"] for p in points)]))
    kind = "log" if min(p["loss"] for p in points) > 0 else "linear"
    scale = alt.Scale(type=kind, nice=False)
    base = alt.Chart().transform_filter(KEPT).encode(
        x=alt.X("step:Q", title="Training step", axis=alt.Axis(format="~s")),
        y=alt.Y("loss:Q", title="Loss", scale=scale),
        detail="line:N",
        opacity=_spot(0.2, "series"),
    )  # fmt: skip
    marks = _marks(names, points)
    shape = marks.pop("shape")
    line = base.mark_line(strokeWidth=1.5, clip=True).encode(**marks)
    dots = base.transform_filter("datum.mark").mark_point(filled=True, size=60)
    dots = dots.encode(color=marks["color"], shape=shape)
    last = {p["line"]: p for p in points}
    alt_text = f"{title}: " + "; ".join(
        f"{name} ends at loss {number(p['loss'])} after {p['step']} steps"
        for name, p in list(last.items())[:12]
    )
    caption = f"Loss over optimizer steps, at most {pt.LONGEST_CURVE} points a curve."
    return _figure(_finish([line, dots], points), points, title, caption, alt_text)


def _lines_and_points(
    subject: Subject, points: Sequence[Point], x: alt.X, *, order: str, text: str = ""
) -> list[Any]:
    base = alt.Chart().transform_filter(KEPT).encode(x=x)
    y = _y(subject, points)
    marks = _marks(subject.names, points)
    dash = {"strokeDash": marks.pop("strokeDash"), "color": marks["color"]}
    line = base.mark_line(strokeWidth=2).encode(
        y=y, detail="line:N", order=f"{order}:Q", opacity=_spot(0.15, "series"), **dash
    )
    bars = base.mark_rule(strokeWidth=1.3).encode(
        y=alt.Y("low:Q"), y2="high:Q", color=marks["color"], opacity=_spot(0.15, "series")
    )
    dots = base.mark_point(filled=True, size=75).encode(
        y=y, tooltip=_tips(subject), opacity=_spot(0.25, "series"), size=_grown(), **marks
    )
    layers = [line, bars, dots]
    if text and len(points) <= 80:
        layers.append(base.mark_text(dy=-11, dx=6).encode(y=y, text=f"{text}:Q"))
    return layers


def _marks(
    names: Sequence[str],
    points: Sequence[Point],
    *,
    field: str = "series",
    title: str = "Model",
    dash: bool = True,
) -> dict[str, Any]:
    """Colour, shape and dash of one field together, so that none of them stands alone."""
    shared: dict[str, Any] = {"legend": _legend(names, points, field, title)}
    shapes = alt.Scale(domain=list(names), range=_cycle(SHAPES, len(names)))
    marks = {
        "color": _colour(names, points, field=field, title=title),
        "shape": alt.Shape(f"{field}:N", scale=shapes, **shared),
    }
    if dash:
        dashes = alt.Scale(domain=list(names), range=_cycle(DASHES, len(names)))
        marks["strokeDash"] = alt.StrokeDash(f"{field}:N", scale=dashes, **shared)
    return marks


def _colour(
    names: Sequence[str],
    points: Sequence[Point],
    *,
    field: str = "series",
    title: str = "Model",
    channel: Any = alt.Color,
) -> Any:
    scale = alt.Scale(domain=list(names))
    return channel(f"{field}:N", scale=scale, legend=_legend(names, points, field, title))


def _legend(names: Sequence[str], points: Sequence[Point], field: str, title: str) -> alt.Legend:
    there = {p[field] for p in points}
    values = [n for n in names if n in there]
    longest = max((len(n) for n in values), default=1)
    return alt.Legend(title=title, values=values, columns=max(1, min(6, 84 // (longest + 4))))


def _cycle(marks: Sequence[Any], count: int) -> list[Any]:
    return [marks[i % len(marks)] for i in range(count)]


def _spot(dim: float, field: str = "cell") -> Any:
    """Dim what is not under the pointer, here or in the table."""
    test = f"hovered == null || hovered.{field} == datum.{field}"
    return alt.condition(test, alt.value(1), alt.value(dim))


def _grown() -> Any:
    return alt.condition(
        "hovered != null && hovered.cell == datum.cell", alt.value(240), alt.value(75)
    )


def _scale(points: Sequence[Point], field: str) -> alt.Scale:
    values = [p[field] for p in points if p.get(field) is not None]
    wide = bool(values) and min(values) > 0 and max(values) > LOG_FROM * min(values)
    return alt.Scale(type="log", nice=False) if wide else alt.Scale(zero=False)


def _x(
    field: str, title: str, points: Sequence[Point], *, values: Sequence[float] | None = None
) -> alt.X:
    axis = alt.Axis(values=list(values), format="d") if values else alt.Axis(format="~s")
    if field in ("total_device_days", "cost", "rate", "clip_score", "guidance"):
        axis = alt.Axis(tickCount=5, labelFlush=True)
    scale = _scale(points, field)
    if values and max(values) > 4 * min(values):
        scale = alt.Scale(type="log", nice=False, padding=12)
    return alt.X(f"{field}:Q", title=title, scale=_padded(scale), axis=axis)


def _padded(scale: alt.Scale) -> alt.Scale:
    scale.padding = 14
    return scale


def _y(subject: Subject, points: Sequence[Point]) -> alt.Y:
    arrow = {"lower": "lower is better", "higher": "higher is better", None: ""}
    better = arrow[subject.quality.better] if subject.quality else ""
    title = f"{subject.label}, {better}"
    return alt.Y(
        "quality:Q", title=title, scale=_padded(_scale(points, "low")), axis=alt.Axis(tickCount=6)
    )


def _tips(subject: Subject) -> list[Any]:
    fields = [
        alt.Tooltip("cell:N", title="Cell"),
        alt.Tooltip("quality:Q", title=subject.label, format=".4~g"),
        alt.Tooltip("low:Q", title="low", format=".4~g"),
        alt.Tooltip("high:Q", title="high", format=".4~g"),
    ]
    if any("throughput" in p for p in subject.points):
        fields.append(alt.Tooltip("throughput:Q", title="images/s", format=".4~g"))
    return fields


def _finish(layers: Sequence[Any], points: Sequence[Point]) -> Any:
    """Layer, facet by dataset where there are several, and add what the page steers."""
    params = [alt.param(name="keep", value=None), alt.param(name="hovered", value=None)]
    used = [{k: v for k, v in p.items() if k in SHOWN} for p in points]
    chart = alt.layer(*layers, data=alt.Data(values=used))
    if len(_datasets(points)) > 1:
        facet = alt.Facet("dataset:N", title=None, sort=_datasets(points))
        chart = chart.properties(width=FACET_WIDTH, height=HEIGHT)
        chart = chart.facet(facet=facet, columns=2, spacing=36)
    else:
        chart = chart.properties(width=WIDTH, height=HEIGHT)
    return chart.add_params(*params)


def _datasets(points: Sequence[Point]) -> list[str]:
    return list(dict.fromkeys(p["dataset"] for p in points if p["dataset"] is not None))


def _figure(chart: Any, points: Sequence[Point], title: str, caption: str, alt_text: str) -> Figure:
    wide = len(_datasets(points)) > 1
    return Figure(chart.properties(description=alt_text), title, caption, alt_text, wide)


def _label(records: Sequence[Record], quality: Quantity) -> str:
    signatures = (s.signature for r in records for s in r.scores if s.name == quality.name)
    names = embedded_evaluators(next(signatures, ""))
    return f"{quality.label} ({', '.join(names)})" if names else quality.label


def _corner(quality: Quantity, *, more: bool) -> str:
    height = "Lower" if quality.better == "lower" else "Upper"
    return f"{height} {'right' if more else 'left'}"


def _alt(title: str, quality: Quantity, points: Sequence[Point]) -> str:
    pick = min if quality.better == "lower" else max
    parts = [f"{title}: {len(points)} cells, {len({p['line'] for p in points})} lines"]
    for dataset in _datasets(points):
        best = pick((p for p in points if p["dataset"] == dataset), key=lambda p: p["quality"])
        parts.append(f"on {dataset} the best is {best['cell']} with {number(best['quality'])}")
    return "; ".join(parts) + "."
