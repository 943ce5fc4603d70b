"""Charts of trainings: loss, learning rate, gradient norm and speed over optimiser steps."""

from __future__ import annotations

from typing import NamedTuple

import altair as alt

from ldmbench.report import points as pt
from ldmbench.report.encodings import KEPT, finish, marks_of, spot
from ldmbench.report.lines import lined, look_of
from ldmbench.report.quantities import number
from ldmbench.report.subject import Figure, Subject, figure_of

__all__ = ["CURVES", "training"]


class Curve(NamedTuple):
    """What a training shows at each row of its curve.

    Attributes:
        axis: title of the vertical axis.
        what: words in a caption.
        ends: words before the last value.
    """

    axis: str
    what: str
    ends: str


CURVES = {
    "loss": Curve("Loss", "Loss", "ends at loss"),
    "rate": Curve("Learning rate", "Learning rate", "ends at rate"),
    "gradient_norm": Curve(
        "Gradient norm", "Norm of all gradients together, before clipping,", "ends at norm"
    ),
    "images_per_second": Curve(
        "Images per second",
        "Images per second between neighbouring points",
        "ends at images per second",
    ),
}
"""Field of a point -> how it is drawn."""


def training(subject: Subject, stage: str, title: str, *, field: str = "loss") -> Figure | str:
    """Draw a field of `CURVES` for every training of a stage.

    Args:
        subject: the run.
        stage: denoiser or autoencoder.
        title: of the figure.
        field: what is drawn over steps.
    """
    points = lined(pt.curve_points(subject.records, subject.extras, stage))
    if not points:
        return f"No {stage} left a training curve: none was trained here."
    curve, points = CURVES[field], [p for p in points if p[field] is not None]
    if not points:
        return f"No training curve of a {stage} has its {curve.axis.lower()}: an older one made it."
    look = look_of(subject.names, points)
    kind = "log" if min(p[field] for p in points) > 0 and field != "rate" else "linear"
    scale = alt.Scale(type=kind, nice=False)
    base = alt.Chart().transform_filter(KEPT).encode(
        x=alt.X("step:Q", title="Training step", axis=alt.Axis(format="~s", tickCount=6)),
        y=alt.Y(f"{field}:Q", title=curve.axis, scale=scale),
        detail=alt.Detail("line:N"),
        opacity=spot(0.2, "series"),
    )  # fmt: skip
    marks = marks_of(look, points, outline=0)
    shape = marks.pop("shape")
    line = base.mark_line(strokeWidth=1.5, clip=True).encode(**marks)
    dots = base.transform_filter("datum.mark").mark_point(filled=True, size=60)
    dots = dots.encode(color=marks["color"], shape=shape)
    last = {(p["line"], p["dataset"]): p for p in points}
    alt_text = f"{title}: " + "; ".join(
        f"{name}{f' on {dataset}' if dataset else ''} {curve.ends} {number(p[field])}"
        f" after {p['step']} steps"
        for (name, dataset), p in list(last.items())[:12]
    )
    caption = f"{curve.what} over optimizer steps, at most {pt.LONGEST_CURVE} points a curve."
    if any(p["series"] is None for p in points):
        caption += " Models that share a training share its curve."
    caption += look.caption
    return figure_of(finish([line, dots], points), points, title, caption, alt_text)
