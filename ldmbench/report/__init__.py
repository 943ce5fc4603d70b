"""Reports: records -> pages. HTML, Markdown, LaTeX, CSV, JSON, and figures for papers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldmbench.records.compare import Replicas
from ldmbench.registry import pick
from ldmbench.report.flat import csv_text, json_text
from ldmbench.report.latex import latex
from ldmbench.report.tables import without
from ldmbench.report.texts import markdown
from ldmbench.report.view import View, apart, narrowed
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
    replicates: Replicas = without,
    metrics: Sequence[str] = (),
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
        replicates: where the replicates of a score are found; with them, cells differ from
            the best by paired differences or not.
        metrics: only these scores and measures; all when empty.

    Raises:
        InputError: if there is no such format, or no such score or measure.
    """
    scored, choosing = apart(records)
    view = View(run, scored, extras, folder, history, replicates, choosing=choosing)
    return pick(FORMATS, format, "report format")(narrowed(view, metrics))


def figures_of(
    run: Run, records: Sequence[Record], extras: Extras, *, metrics: Sequence[str] = ()
) -> dict[str, altair.TopLevelMixin]:
    """Return name -> Altair chart of every figure that has something to show.

    Args:
        run: the run.
        records: its records.
        extras: curves and progressive coding of the run.
        metrics: only these scores; all when empty.
    """
    from ldmbench.report.figures import draw

    view = narrowed(View(run, apart(records)[0], extras), metrics)
    return {name: figure.chart for name, figure in draw(run, view.drawn, extras).charts.items()}


def save_figures(
    charts: Mapping[str, altair.TopLevelMixin],
    folder: Path,
    formats: Sequence[str] = ("svg", "pdf", "png"),
) -> list[Path]:
    """Write each chart as FOLDER/NAME.FORMAT without a browser or network; return the files."""
    from ldmbench.report.figures import save

    return save(charts, folder, formats)


def _html(view: View) -> str:
    from ldmbench.report.page import page

    return page(view)


FORMATS: dict[str, Callable[[View], str]] = {
    "html": _html,
    "markdown": markdown,
    "latex": latex,
    "csv": lambda view: csv_text(view.every, view.replicates),
    "json": lambda view: json_text(view.every, view.replicates),
}
"""Report format -> its renderer."""
