"""Spectra: the power of the latents of first stages over frequency."""

from __future__ import annotations

from collections.abc import Iterator

import altair as alt

from ldmbench.report.cells import series
from ldmbench.report.encodings import KEPT, finish, marks_of, spot
from ldmbench.report.lines import lined, look_of
from ldmbench.report.points import Point, shared
from ldmbench.report.quantities import number
from ldmbench.report.subject import Figure, Subject, figure_of

__all__ = ["latent_spectrum"]

MARKED = 6
"""Markers on each curve: a reader who sees no colours can distinguish the curves by them."""


def latent_spectrum(subject: Subject) -> Figure | str:
    """Draw log power over frequency, a curve for each first stage (arXiv:2502.14831)."""
    points = lined(list(_points(subject)))
    if not points:
        return "No first stage has a spectrum of its latents (probe `reconstruction`)."
    look = look_of(subject.names, points)
    marks = marks_of(look, points, outline=0)
    shape = marks.pop("shape")
    base = alt.Chart().transform_filter(KEPT).encode(
        x=alt.X("frequency:Q", title="Frequency, share of the highest"),
        y=alt.Y("log_power:Q", title="log10 of power over that of the mean"),
        detail="line:N",
        opacity=spot(0.2, "series"),
    )  # fmt: skip
    line = base.mark_line(strokeWidth=1.5).encode(**marks)
    dots = base.transform_filter("datum.mark").mark_point(filled=True, size=60)
    dots = dots.encode(color=marks["color"], shape=shape)
    title = "Spectra of latents"
    caption = (
        "Mean power of the coefficients of latents at each zigzag frequency of their discrete"
        " cosine transform, over that of the mean of a map (arXiv:2502.14831). A curve that falls"
        " has less power in fine detail than in coarse structure, as images have; that of white"
        f" noise is level. One curve per first stage, however many models share it.{look.caption}"
    )
    ends = {(p["line"], p["dataset"]): p for p in points}
    alt_text = f"{title}: " + "; ".join(
        f"{name} on {dataset} ends at {number(p['log_power'])}"
        for (name, dataset), p in list(ends.items())[:12]
    )
    return figure_of(finish([line, dots], points), points, title, caption, alt_text)


def _points(subject: Subject) -> Iterator[Point]:
    """Yield the points of all curves; models that share a first stage share its curve."""
    owners: dict[tuple[str, str, str | None], list[str]] = {}
    cells: dict[tuple[str, str, str | None], str] = {}
    for record in subject.records:
        cell = record.cell
        if cell.id in subject.extras.spectra:
            own = cell.stages.get("reconstructions", cell.id), cell.dataset, cell.latents
            owners.setdefault(own, []).append(series(cell))
            cells.setdefault(own, cell.id)
    for own, names in owners.items():
        curve = subject.extras.spectra[cells[own]]
        named: Point = {"cell": cells[own], "dataset": own[1], "steps": None, "identity": {}}
        every = max(1, len(curve) // MARKED)
        for place, point in enumerate(curve):
            yield {**named, **shared(names), **point.model_dump(), "mark": place % every == 0}
