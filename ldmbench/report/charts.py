"""Charts: each turns a run into one Altair chart, or a sentence why there is nothing to show."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import altair as alt

from ldmbench.catalog.metrics import SCORABLE, Metric
from ldmbench.report import points as pt
from ldmbench.report.encodings import (
    KEPT,
    NO_COLOUR,
    PLAIN,
    colour,
    finish,
    lines_and_points,
    marks_of,
    padded,
    scale_for,
    spot,
    ticks_for,
    tips,
    x_axis,
    y_axis,
)
from ldmbench.report.lines import Key, Look, lined, longest, look_of
from ldmbench.report.quantities import number, scale_of
from ldmbench.report.subject import Figure, Subject, corner, describe, figure_of

__all__ = [
    "coding",
    "first_stage",
    "guidance",
    "guidance_clip",
    "guidance_tradeoff",
    "pareto_cost",
    "pareto_speed",
    "quality_compute",
    "quality_steps",
    "quality_throughput",
]

CAPTIONED = next(row for row in SCORABLE.values() if row.family.against == "caption")
"""The score of samples and their captions, which guidance raises."""

BARS = "Bars are confidence intervals."
NO_QUALITY = "No cell has a score of its samples."
ONE_SCALE = "All cells sample with the same guidance scale."
SAME_BUDGET = 1.05
"""Budgets whose ratio is below this are one: a budget ends on a whole step."""
_COSTS = {
    "cost": "Cost of training",
    "total_device_days": "Training, device-days",
    "train_device_days": "Training of the denoiser alone, device-days",
    "total_train_flops": "Training compute",
    "train_flops": "Training compute of the denoiser alone",
}
_COMPUTE = {"train_flops": "FLOP", "total_device_days": "device-days", "train_steps": "steps"}


def quality_throughput(subject: Subject) -> Figure | str:
    """Draw quality against throughput: a line per model, a point per step count (Figure 7)."""
    quality = subject.quality
    if quality is None:
        return NO_QUALITY
    points = lined([p for p in subject.trained if p.get("throughput")], "steps")
    if len(points) < 2:
        return f"Fewer than two cells have both {quality.label} and a throughput."
    x = x_axis("throughput", "Throughput, images/s", points)
    caption = "One point per step count, as in Figure 7 of arXiv:2112.10752."
    caption += f"{corner(quality, more=True)} {BARS}"
    title = f"{quality.label} against throughput"
    return _drawn(subject, points, x, title, caption, order="steps", text="steps")


def pareto_speed(subject: Subject) -> Figure | str:
    """Draw the front of quality against throughput."""
    return _pareto(subject, "throughput", "Throughput, images/s", "throughput", more=True)


def pareto_cost(subject: Subject) -> Figure | str:
    """Draw the front of quality against what training cost, in what most cells have."""
    counts = {field: sum(field in p for p in subject.points) for field in _COSTS}
    field = max(counts, key=lambda name: counts[name])
    label = _COSTS[field]
    if field.endswith("_flops"):
        subject, unit = _scaled(subject, field)
        label = f"{label}, {unit}"
    return _pareto(subject, field, label, "training cost", more=False)


def quality_steps(subject: Subject) -> Figure | str:
    """Draw quality against the number of sampler steps, with error bars."""
    quality, points = subject.quality, lined(subject.trained, "steps")
    if quality is None:
        return NO_QUALITY
    if len({p["steps"] for p in points}) < 2:
        return "All cells sample with the same number of steps."
    units = {p["step_unit"] for p in points}
    unit = "evaluations" if units == {"evaluations"} else "sampler steps"
    x = x_axis("steps", unit.capitalize(), points, values=sorted({p["steps"] for p in points}))
    title = f"{quality.label} against {unit}"
    more = unit.removeprefix("sampler ")
    caption = f"{BARS} Where they overlap, more {more} are not shown to help."
    if len(units) > 1:
        caption += " Of models whose code says so, the steps are evaluations."
    return _drawn(subject, points, x, title, caption, order="steps")


def quality_compute(subject: Subject) -> Figure | str:
    """Draw quality against training compute, at the largest step count (Figure 6)."""
    quality = subject.quality
    if quality is None:
        return NO_QUALITY
    field = next((n for n in _COMPUTE if any(n in p for p in subject.points)), "train_flops")
    points = [p for p in longest(subject.points, "steps") if p.get(field)]
    if not points:
        return f"No cell has both {quality.label} and a training budget that was measured."
    spent = [p[field] for p in points]
    scale = scale_of(spent, _COMPUTE[field])
    if max(spent) <= SAME_BUDGET * min(spent):
        return (
            "All models were trained with the same budget"
            f" ({number(max(spent) / scale.divisor)} {scale.unit});"
            " a list under `sample.checkpoint` or `budget` makes this figure."
        )
    points = lined([{**p, field: p[field] / scale.divisor} for p in points], "progress", "steps")
    x = x_axis(field, f"Training compute, {_spelled(scale.unit)}", points)
    caption = (
        "Each model at its largest step count; a line joins the checkpoints of one training, as "
        f"in Figure 6 of arXiv:2112.10752. The first stage's training is not counted here. {BARS}"
    )
    title = f"{quality.label} against training compute"
    return _drawn(subject, points, x, title, caption, order=field)


def guidance(subject: Subject) -> Figure | str:
    """Draw quality against the guidance scale."""
    quality, points = subject.quality, _guided(subject)
    if quality is None:
        return NO_QUALITY
    if not points:
        return ONE_SCALE
    x = x_axis("guidance", "Guidance scale", points)
    title = f"{quality.label} against guidance scale"
    caption = f"Each model at its largest step count. {BARS}"
    return _drawn(subject, points, x, title, caption, order="guidance")


def guidance_clip(subject: Subject) -> Figure | str:
    """Draw the CLIP score against the guidance scale."""
    if subject.quality is not None and subject.quality.name == CAPTIONED.name:
        return (
            f"{CAPTIONED.label} is the only score of quality here; the figure `guidance` shows it."
        )
    clip = Subject.of(subject.records, subject.extras, quality=CAPTIONED.name)
    if not clip.points:
        return f"No cell has a {CAPTIONED.label}."
    return guidance(clip)


def guidance_tradeoff(subject: Subject) -> Figure | str:
    """Draw quality against CLIP score along the guidance scale (arXiv:2205.11487, Figure 4)."""
    quality, points = subject.quality, [p for p in _guided(subject) if CAPTIONED.name in p]
    if quality is None:
        return NO_QUALITY
    if quality.name == CAPTIONED.name or len(points) < 2:
        both = f"both {CAPTIONED.label} and another score"
        return f"There is no sweep of the guidance scale with {both}."
    x = x_axis(CAPTIONED.name, f"{CAPTIONED.axis}, {CAPTIONED.better} is better", points)
    title = f"{quality.label} against {CAPTIONED.label}"
    caption = (
        "What guidance buys and costs: each model at its largest step count, each point "
        f"labelled with the guidance scale. {BARS}"
    )
    return _drawn(subject, points, x, title, caption, order="guidance", text="guidance")


def _guided(subject: Subject) -> list[pt.Point]:
    """Return the points along a sweep of the guidance scale, none without such a sweep."""
    points = lined(longest(subject.trained, "steps"), "guidance")
    return points if len({p["guidance"] for p in points}) > 1 else []


def _drawn(
    subject: Subject,
    points: list[pt.Point],
    x: alt.X,
    title: str,
    caption: str,
    *,
    order: str,
    text: str = "",
) -> Figure:
    """Draw quality along `x`: lines, intervals and points, with the words around them."""
    assert subject.quality is not None
    look = look_of(subject.names, points)
    layers = lines_and_points(look, subject, points, x, order=order, text=text)
    description = describe(title, subject.quality, points)
    return figure_of(finish(layers, points), points, title, caption + look.caption, description)


def _scaled(subject: Subject, field: str) -> tuple[Subject, str]:
    """Return a subject whose training FLOPs have a prefix, and their unit."""
    scale = scale_of([p[field] for p in subject.points if field in p], "FLOP")
    points = tuple(
        {**p, field: p[field] / scale.divisor} if field in p else p for p in subject.points
    )
    return replace(subject, points=points), _spelled(scale.unit)


def _spelled(unit: str) -> str:
    """Spell the prefix of FLOP out: an E before FLOP is no exponent to everybody."""
    return _FLOPS.get(unit, unit)


_FLOPS = {
    "GFLOP": "gigaFLOP (10⁹)",
    "TFLOP": "teraFLOP (10¹²)",
    "PFLOP": "petaFLOP (10¹⁵)",
    "EFLOP": "exaFLOP (10¹⁸)",
    "ZFLOP": "zettaFLOP (10²¹)",
}


def coding(subject: Subject) -> Figure | str:
    """Draw the rate-distortion curve of progressive coding (arXiv:2006.11239, Figure 5)."""
    points = lined(pt.coding_points(subject.records, subject.extras))
    if not points:
        return "No cell was probed for progressive coding (probe `coding`)."
    look = look_of(subject.names, points)
    marks = marks_of(look, points, outline=0)
    x = alt.X("bits_per_dim:Q", title="Rate, bits/dim", scale=alt.Scale(type="sqrt"))
    y = alt.Y("rmse:Q", title="Distortion, RMSE (0..255)")
    base = alt.Chart().transform_filter(KEPT)
    line = base.mark_line(strokeWidth=2, interpolate="monotone").encode(
        x=x,
        y=y,
        order=alt.Order("t:Q", sort="descending"),
        detail=alt.Detail("line:N"),
        color=marks["color"],
        strokeDash=marks["strokeDash"],
        opacity=spot(0.2, "series"),
    )
    dots = base.transform_filter("datum.mark").mark_point(filled=True, size=60)
    dots = dots.encode(x=x, y=y, color=marks["color"], shape=marks["shape"])
    title = "Progressive coding"
    text = (
        "Bits sent so far against the error of the image they give, over the timesteps "
        f"(Ho et al., arXiv:2006.11239, section 4.3).{look.caption}"
    )
    alt_text = f"{title}: {len({p['line'] for p in points})} rate-distortion curves."
    return figure_of(finish([line, dots], points), points, title, text, alt_text)


def _pareto(subject: Subject, field: str, label: str, what: str, *, more: bool) -> Figure | str:
    quality = subject.quality
    if quality is None:
        return NO_QUALITY
    if quality.best is None:
        return f"{quality.label} has no better direction, so it has no front."
    if len({p.get(field) for p in subject.points} - {None}) < 2:
        return f"Fewer than two cells have both {quality.label} and a {what} of their own."
    chosen = lined(subject.trained if more else subject.points, "steps")
    points = pt.front(chosen, field, quality, more=more)
    look = look_of(subject.names, chosen)
    x, y = x_axis(field, label, points), y_axis(subject, points)
    on = alt.datum.front == "on the front"
    base = alt.Chart().transform_filter(KEPT)
    line = base.transform_filter(on).mark_line(
        interpolate="step-before" if more else "step-after", strokeWidth=1.5, opacity=0.7
    )
    line = line.encode(
        x=x,
        y=y,
        detail=alt.Detail("made:N"),
        order=alt.Order(f"{field}:Q"),
        color=alt.value(NO_COLOUR),
    )
    dots = base.mark_point(size=80, opacity=1).encode(
        x=x,
        y=y,
        **marks_of(look, points, dash=False),
        fillOpacity=alt.FillOpacityValue(0, condition={"test": on, "value": 1}),
        strokeOpacity=spot(0.35, channel=alt.StrokeOpacityValue),
        fill=colour(look, points, channel=alt.Fill),
        tooltip=tips(subject),
    )
    text = (
        base.transform_filter(on).mark_text(dy=13, dx=9).encode(x=x, y=y, text=alt.Text("steps:Q"))
    )
    title = f"Pareto front of quality against {'speed' if more else 'cost'}"
    front = [p for p in points if p["front"] == "on the front"]
    caption = (
        "Filled: on the front; no other cell is both better and "
        f"{'faster' if more else 'cheaper'}. Hollow: beaten by another cell of its dataset. "
        f"Numbers are sampler steps.{look.caption.replace('shape and dash tell', 'shape tells')}"
    )
    alt_text = f"{title}: {len(front)} of {len(points)} cells are on the front: " + ", ".join(
        p["cell"] for p in front[:12]
    )
    return figure_of(finish([line, dots, text], points), points, title, caption, alt_text)


def first_stage(subject: Subject, *, row: Metric) -> Figure | str:
    """Draw rate against a score of the first stages."""
    points, field = pt.first_stages(subject.records, row.name), row.name
    if max(Counter(p["dataset"] for p in points).values(), default=0) < 2:
        return f"Fewer than two first stages of a dataset have both a rate and {row.label}."
    key = Key("kind", "Regularization", tuple(dict.fromkeys(p["kind"] for p in points)))
    marks = marks_of(Look(key, key), points)
    y = alt.Y(f"{field}:Q", title=row.axis, scale=padded(scale_for(points, field)))
    if ticks := ticks_for(points, field):
        y.axis = alt.Axis(values=ticks, format=PLAIN)
    x = x_axis("rate", "Rate, bits per pixel", points)
    base = alt.Chart().transform_filter(KEPT).encode(x=x, y=y)
    dash = {"strokeDash": marks.pop("strokeDash"), "color": marks["color"]}
    line = base.mark_line(strokeWidth=1.5).encode(
        detail=["made:N", "line:N"], order=alt.Order("rate:Q"), **dash
    )
    dots = base.mark_point(filled=True, size=80).encode(
        **marks, opacity=spot(0.35, "series"), tooltip=["owner:N", "rate:Q", f"{field}:Q"]
    )
    text = base.mark_text(dy=-12).encode(text=alt.Text("label:N"))
    title = f"First stages: rate against {row.label}"
    caption = (
        f"{str(row.better).capitalize()} is better, and left is fewer bits; one point per first"
        " stage, however many models share it; the identity (f = 1) is left out."
    )
    ends = min(points, key=lambda p: p["rate"]), max(points, key=lambda p: p["rate"])
    alt_text = f"{title}: " + "; ".join(
        f"{p['owner']} has {number(p['rate'])} bits per pixel and {row.axis} {number(p[field])}"
        for p in ends
    )
    return figure_of(finish([line, dots, text], points), points, title, caption, alt_text)
