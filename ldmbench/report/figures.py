"""Figures: which there are, what each shows, and how they are saved."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import altair as alt
from altair.utils.schemapi import debug_mode

from ldmbench.catalog.metrics import METRICS
from ldmbench.report import charts
from ldmbench.report.spectra import latent_spectrum
from ldmbench.report.subject import Figure, Subject
from ldmbench.report.theme import config
from ldmbench.report.trained import training
from ldmbench.schema.record import Extras, Record, Run

__all__ = ["FIGURES", "Drawn", "draw", "save"]

FIGURES: dict[str, Callable[[Subject], Figure | str]] = {
    "quality_throughput": charts.quality_throughput,
    "pareto_speed": charts.pareto_speed,
    "pareto_cost": charts.pareto_cost,
    "quality_steps": charts.quality_steps,
    "quality_compute": charts.quality_compute,
    "guidance": charts.guidance,
    "guidance_clip": charts.guidance_clip,
    "guidance_tradeoff": charts.guidance_tradeoff,
    **{
        f"first_stage_{row.name}": partial(charts.first_stage, row=row)
        for row in METRICS.values()
        if row.charted
    },
    "latent_spectrum": latent_spectrum,
    "coding": charts.coding,
    **{
        f"training_{stage}{suffix}": partial(training, stage=stage, title=title, field=field)
        for stage, suffix, title, field in (
            ("denoiser", "", "Training of the denoisers", "loss"),
            ("denoiser", "_rate", "Learning rates of the denoisers", "rate"),
            ("denoiser", "_gradient", "Gradients of the denoisers", "gradient_norm"),
            ("denoiser", "_speed", "Speed of training the denoisers", "images_per_second"),
            ("autoencoder", "", "Training of the first stages", "loss"),
        )
    },
}
"""Figure name (its file name too) -> Subject -> Figure, or a sentence why there is none."""


_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Drawn:
    """The figures of a run, and why the others were left out."""

    charts: dict[str, Figure]
    left_out: dict[str, str]


def draw(run: Run, records: Sequence[Record], extras: Extras) -> Drawn:
    """Draw every figure that has something to show; tests compare them with Altair's schema."""
    subject = Subject.of(records, extras)
    with debug_mode(False):  # else Altair validates every part of every figure as it is made
        made = {name: make(subject) for name, make in FIGURES.items()}
    return Drawn(
        {name: figure for name, figure in made.items() if isinstance(figure, Figure)},
        {name: reason for name, reason in made.items() if isinstance(reason, str)},
    )


def save(
    figures: Mapping[str, alt.TopLevelMixin], folder: Path, formats: Sequence[str]
) -> list[Path]:
    """Write FOLDER/NAME.FORMAT for every figure and format (svg, pdf, png)."""
    import vl_convert

    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, chart in figures.items():
        spec = _printable(chart.to_dict(validate=False))
        for kind in formats:
            path = folder / f"{name}.{kind}"
            path.write_bytes(_convert(vl_convert, spec, kind, version))
            written.append(path)
    return written


def _printable(node: Any) -> Any:
    """Return a spec whose texts XML allows; the converter aborts the process on others."""
    if isinstance(node, dict):
        return {_printable(key): _printable(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_printable(value) for value in node]
    return _UNPRINTABLE.sub("\ufffd", node) if isinstance(node, str) else node


def _convert(vl_convert: Any, spec: dict[str, Any], kind: str, version: str) -> bytes:
    options = {"vl_version": version, "config": config("light")}
    if kind == "svg":
        return str(vl_convert.vegalite_to_svg(spec, **options)).encode()
    if kind == "pdf":
        return bytes(vl_convert.vegalite_to_pdf(spec, **options))
    return bytes(vl_convert.vegalite_to_png(spec, scale=2, **options))
