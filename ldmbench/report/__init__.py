"""Reports: records -> pages. HTML, Markdown, LaTeX, CSV, JSON, and figures for papers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldmbench.registry import pick
from ldmbench.report.flat import csv_text, json_text
from ldmbench.report.texts import latex, markdown
from ldmbench.schema.record import Extras, Record, Run

if TYPE_CHECKING:
    import altair

__all__ = ["FORMATS", "figures_of", "render", "save_figures"]


def render(
    run: Run,
    records: Sequence[Record],
    extras: Extras,
    *,
    folder: Path,
    format: str,
    history: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the report of a run as one text.

    Args:
        run: the run.
        records: its records, in the order of its cells.
        extras: curves, progressive coding and pictures of the run.
        folder: the run's folder, in which `extras.pictures` name their files.
        format: a name in `FORMATS`; html is one self-contained page.
        history: series over the runs of the suite, as `ldmbench history --json` writes them; only
            html shows them.

    Raises:
        InputError: if there is no such format.
    """
    return pick(FORMATS, format, "report format")(run, records, extras, folder, history)


def figures_of(
    run: Run, records: Sequence[Record], extras: Extras
) -> dict[str, altair.TopLevelMixin]:
    """Return name -> Altair chart of every figure that has something to show."""
    from ldmbench.report.figures import draw

    return {name: figure.chart for name, figure in draw(run, records, extras).charts.items()}


def save_figures(
    charts: Mapping[str, altair.TopLevelMixin],
    folder: Path,
    formats: Sequence[str] = ("svg", "pdf", "png"),
) -> list[Path]:
    """Write each chart as FOLDER/NAME.FORMAT without a browser or network; return the files."""
    from ldmbench.report.figures import save

    return save(charts, folder, formats)


def _html(
    run: Run, records: Sequence[Record], extras: Extras, folder: Path, history: History
) -> str:
    from ldmbench.report.page import page

    return page(run, records, extras, folder=folder, history=history)


History = Sequence[Mapping[str, Any]]
Renderer = Callable[[Run, Sequence[Record], Extras, Path, History], str]

FORMATS: dict[str, Renderer] = {
    "html": _html,
    "markdown": lambda run, records, extras, folder, history: markdown(run, records, extras),
    "latex": lambda run, records, extras, folder, history: latex(run, records),
    "csv": lambda run, records, extras, folder, history: csv_text(records),
    "json": lambda run, records, extras, folder, history: json_text(records),
}
"""Report format -> its renderer."""
