"""Charts: each turns a run into one Altair chart, or a sentence why there is nothing to show."""

from __future__ import annotations

import altair as alt

from ldmbench.report import points as pt
from ldmbench.report.encodings import (
    KEPT,
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
from ldmbench.report.quantities import number
from ldmbench.report.subject import Figure, Subject, corner, describe, figure_of, longest, siblings

__all__ = [
    "coding",
    "first_stage_psnr",
    "first_stage_rfid",
    "guidance",
    "guidance_clip",
    "guidance_tradeoff",
    "pareto_cost",
    "pareto_speed",
    "quality_compute",
    "quality_steps",
    "quality_throughput",
    "training_autoencoder",
    "training_denoiser",
]

ONE_SCALE = "All cells sample with the same guidance scale."
SAME_BUDGET = 1.05
"""Budgets whose ratio is below this are one: a budget ends on a whole step."""
_COSTS = {
    "cost": "Cost of training",
    "total_device_days": "Training, device-days",
    "train_device_days": "Training of the denoiser alone, device-days",
}
_COMPUTE = {"train_flops": "FLOP", "total_device_days": "device-days", "train_steps": "steps"}


def quality_throughput(subject: Subject) -> Figure | str:
    """Draw quality against throughput: a line per model, a point per step count (Figure 7)."""
    quality = subject.quality
    points = [p for p in subject.trained if p.get("throughput")]
    if quality is None or len(points) < 2:
        return "Fewer than two cells have both a quality score and a throughput."
    x = x_axis("throughput", "Throughput, images/s", points)
    layers = lines_and_points(subject, points, x, order="steps", text="steps")
    chart = finish(layers, points)
    title = f"{quality.label} against throughput"
    caption = (
        "One line per model, one point per step count, as in Figure 7 of arXiv:2112.10752. "
        f"{corner(quality, more=True)} is better. Bars are confidence intervals." + siblings(points)
    )
    return figure_of(chart, points, title, caption, describe(title, quality, points))


def pareto_speed(subject: Subject) -> Figure | str:
    """Draw the front of quality against throughput."""
    return _pareto(subject, "throughput", "Throughput, images/s", "speed", more=True)


def pareto_cost(subject: Subject) -> Figure | str:
    """Draw the front of quality against what training cost, in what most cells have."""
    counts = {field: sum(field in p for p in subject.points) for field in _COSTS}
    field = max(counts, key=lambda name: counts[name])
    return _pareto(subject, field, _COSTS[field], "cost", more=False)


def quality_steps(subject: Subject) -> Figure | str:
    """Draw quality against the number of sampler steps, with error bars."""
    quality, points = subject.quality, subject.trained
    if quality is None or len({p["steps"] for p in points}) < 2:
        return "All cells sample with the same number of steps."
    x = x_axis("steps", "Sampler steps", points, values=sorted({p["steps"] for p in points}))
    chart = finish(lines_and_points(subject, points, x, order="steps"), points)
    title = f"{quality.label} against sampler steps"
    caption = "Bars are confidence intervals; where they overlap, more steps bought nothing sure."
    caption += siblings(points)
    return figure_of(chart, points, title, caption, describe(title, quality, points))


def quality_compute(subject: Subject) -> Figure | str:
    """Draw quality against training compute, at the largest step count (Figure 6)."""
    quality = subject.quality
    field = next((n for n in _COMPUTE if any(n in p for p in subject.points)), "train_flops")
    points = [{**p, "line": p["track"]} for p in longest(subject.points, "steps") if p.get(field)]
    if quality is None or not points:
        return "No cell has both a quality score and a training budget that was measured."
    spent = [p[field] for p in points]
    if max(spent) <= SAME_BUDGET * min(spent):
        return (
            f"All models were trained with the same budget ({number(max(spent))} "
            f"{_COMPUTE[field]}); a list under `sample.progress` or `budget` makes this figure."
        )
    x = x_axis(field, f"Training compute, {_COMPUTE[field]}", points)
    chart = finish(lines_and_points(subject, points, x, order=field), points)
    title = f"{quality.label} against training compute"
    caption = (
        "Each model at its largest step count; a line joins the checkpoints of one training, as "
        "in Figure 6 of arXiv:2112.10752. The first stage's training is not counted here."
        + siblings(points)
    )
    return figure_of(chart, points, title, caption, describe(title, quality, points))


def guidance(subject: Subject) -> Figure | str:
    """Draw quality against the guidance scale."""
    quality, points = subject.quality, _guided(subject)
    if quality is None or not points:
        return ONE_SCALE
    x = x_axis("guidance", "Guidance scale", points)
    title = f"{quality.label} against guidance scale"
    caption = "A line per model at its largest step count. Bars are confidence intervals."
    chart = finish(lines_and_points(subject, points, x, order="guidance"), points)
    return figure_of(chart, points, title, caption, describe(title, quality, points))


def guidance_clip(subject: Subject) -> Figure | str:
    """Draw the CLIP score against the guidance scale."""
    if subject.quality is not None and subject.quality.name == "clip_score":
        return "CLIP score is the only score of quality here; the figure `guidance` shows it."
    clip = Subject.of(subject.records, subject.extras, quality="clip_score")
    quality, points = clip.quality, _guided(clip)
    if quality is None or not clip.points:
        return "No cell has a CLIP score."
    if not points:
        return ONE_SCALE
    x = x_axis("guidance", "Guidance scale", points)
    title = "CLIP score against guidance scale"
    caption = "A line per model at its largest step count. Bars are confidence intervals."
    chart = finish(lines_and_points(clip, points, x, order="guidance"), points)
    return figure_of(chart, points, title, caption, describe(title, quality, points))


def guidance_tradeoff(subject: Subject) -> Figure | str:
    """Draw quality against CLIP score along the guidance scale (arXiv:2205.11487, Figure 4)."""
    quality, points = subject.quality, [p for p in _guided(subject) if "clip_score" in p]
    if quality is None or quality.name == "clip_score" or len(points) < 2:
        return "There is no sweep of the guidance scale with both FID and CLIP score."
    x = x_axis("clip_score", "CLIP score, higher is better", points)
    layers = lines_and_points(subject, points, x, order="guidance", text="guidance")
    title = f"{quality.label} against CLIP score"
    caption = (
        "What guidance buys and costs: a line per model at its largest step count, each point "
        "labelled with the guidance scale."
    )
    chart = finish(layers, points)
    return figure_of(chart, points, title, caption, describe(title, quality, points))


def _guided(subject: Subject) -> list[pt.Point]:
    """Return the points along a sweep of the guidance scale, none without such a sweep."""
    points = [{**p, "line": p["sweep"]} for p in longest(subject.trained, "steps")]
    return points if len({p["guidance"] for p in points}) > 1 else []


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
        **marks_of(subject.names, points),
        opacity=spot(0.2, "series"),
    )
    title = "Progressive coding"
    text = (
        "Bits sent so far against the error of the image they give, over the timesteps "
        "(Ho et al., arXiv:2006.11239, section 4.3)."
    )
    alt_text = f"{title}: {len({p['line'] for p in points})} rate-distortion curves."
    return figure_of(finish([line], points), points, title, text, alt_text)


def training_denoiser(subject: Subject) -> Figure | str:
    """Draw the loss of the denoisers."""
    return _training(subject, "denoiser", "Training of the denoisers")


def training_autoencoder(subject: Subject) -> Figure | str:
    """Draw the loss of the first stages."""
    return _training(subject, "autoencoder", "Training of the first stages")


def _pareto(subject: Subject, field: str, label: str, what: str, *, more: bool) -> Figure | str:
    quality = subject.quality
    if quality is None or len({p.get(field) for p in subject.points} - {None}) < 2:
        return f"Fewer than two cells have both a quality score and a {what}."
    chosen = subject.trained if more else subject.points
    points = pt.front(chosen, field, quality, more=more)
    x = x_axis(field, label, points)
    on = alt.datum.front == "on the front"
    base = alt.Chart().transform_filter(KEPT)
    line = base.transform_filter(on).mark_line(
        interpolate="step-before" if more else "step-after", strokeWidth=1.5, opacity=0.7
    )
    line = line.encode(
        x=x, y=y_axis(subject, points), order=f"{field}:Q", color=alt.value("#8a8f98")
    )
    dots = base.mark_point(size=80, opacity=1).encode(
        x=x,
        y=y_axis(subject, points),
        **marks_of(subject.names, points, dash=False),
        fillOpacity=alt.condition(on, alt.value(1), alt.value(0)),
        strokeOpacity=spot(0.35),
        fill=colour(subject.names, points, channel=alt.Fill),
        tooltip=tips(subject),
    )
    text = (
        base.transform_filter(on)
        .mark_text(dy=13, dx=9)
        .encode(x=x, y=y_axis(subject, points), text="steps:Q")
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
    return figure_of(finish([line, dots, text], points), points, title, caption, alt_text)


def _first_stage(subject: Subject, field: str, label: str, better: str) -> Figure | str:
    points = [p for p in pt.first_stages(subject.records) if p.get(field) is not None]
    if len({p["series"] for p in points}) < 2:
        return f"Fewer than two first stages have both a rate and a {label.partition(',')[0]}."
    kinds = tuple(dict.fromkeys(p["kind"] for p in points))
    marks = marks_of(kinds, points, field="kind", title="Regularization")
    y = alt.Y(f"{field}:Q", title=label, scale=padded(scale_for(points, field)))
    if ticks := ticks_for(points, field):
        y.axis = alt.Axis(values=ticks, format=PLAIN)
    x = x_axis("rate", "Rate, bits per pixel", points)
    base = alt.Chart().transform_filter(KEPT).encode(x=x, y=y)
    dash = {"strokeDash": marks.pop("strokeDash"), "color": marks["color"]}
    line = base.mark_line(strokeWidth=1.5).encode(order="rate:Q", **dash)
    dots = base.mark_point(filled=True, size=80).encode(
        **marks, opacity=spot(0.35, "series"), tooltip=["series:N", "rate:Q", f"{field}:Q"]
    )
    text = base.mark_text(dy=-12).encode(text="f:N")
    title = f"First stages: rate against {label.partition(',')[0]}"
    caption = f"{better} is better, and left is fewer bits; the identity (f = 1) is left out."
    ends = min(points, key=lambda p: p["rate"]), max(points, key=lambda p: p["rate"])
    alt_text = f"{title}: " + "; ".join(
        f"{p['series']} has {number(p['rate'])} bits per pixel and {label} {number(p[field])}"
        for p in ends
    )
    return figure_of(finish([line, dots, text], points), points, title, caption, alt_text)


def _training(subject: Subject, stage: str, title: str) -> Figure | str:
    points = pt.curve_points(subject.extras, stage, subject.names)
    if not points:
        return f"No {stage} left a training curve: none was trained here."
    names = tuple(dict.fromkeys([*subject.names, *(p["series"] for p in points)]))
    kind = "log" if min(p["loss"] for p in points) > 0 else "linear"
    scale = alt.Scale(type=kind, nice=False)
    base = alt.Chart().transform_filter(KEPT).encode(
        x=alt.X("step:Q", title="Training step", axis=alt.Axis(format="~s", tickCount=6)),
        y=alt.Y("loss:Q", title="Loss", scale=scale),
        detail="line:N",
        opacity=spot(0.2, "series"),
    )  # fmt: skip
    marks = marks_of(names, points)
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
    return figure_of(finish([line, dots], points), points, title, caption, alt_text)
