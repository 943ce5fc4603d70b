"""Hands records to the outlets: the report on disk and the MLflow mirror."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ldmbench.records.book import Book, write_text
from ldmbench.schema.record import Run
from ldmbench.schema.suite import MlflowSettings
from ldmbench.suite.load import settings_of
from ldmbench.track.spool import pending


def rendered(run: Run, book: Book, form: str) -> str:
    """Return a run's report in one format."""
    from ldmbench.report import render

    return render(
        run, book.records(run.id), book.extras(run.id), folder=book.path(run.id), format=form
    )


def write_report(run: Run, book: Book, *, again: bool) -> Path:
    """Write a run's HTML page unless it is there, and return its path."""
    path = book.root / "reports" / f"{run.id}.html"
    if again or not path.exists():
        write_text(path, rendered(run, book, "html"))
    return path


def replay(book: Book) -> Iterator[str]:
    """Mirror every ended run that MLflow has not taken yet; yield a warning for each that fails."""
    for folder in pending(book.folder):
        run = book.find(folder.name)
        settings = settings_of(run.source)
        if not settings.enabled or os.environ.get("LDMBENCH_MLFLOW", "1") == "0":
            continue
        warning = _mirror(run, book, settings)
        if warning:
            yield warning


def _files(run: Run, book: Book) -> dict[str, Path]:
    """Return what MLflow keeps beside the numbers: the page, the tables, every figure."""
    from ldmbench.report import figures_of, save_figures

    folder = book.path(run.id) / "figures"
    charts = figures_of(run, book.records(run.id), book.extras(run.id))
    figures = save_figures(charts, folder, formats=("svg",))
    table = book.path(run.id) / "table.md"
    write_text(table, rendered(run, book, "markdown"))
    return {
        "report/report.html": write_report(run, book, again=False),
        "report/table.md": table,
        **{f"figures/{path.name}": path for path in figures},
    }


def _mirror(run: Run, book: Book, settings: MlflowSettings) -> str | None:
    from ldmbench.track.mlflow import mirror

    return mirror(
        run,
        book.records(run.id),
        book.extras(run.id),
        folder=book.path(run.id),
        settings=settings,
        default_uri=f"sqlite:///{(book.root / 'mlflow.db').resolve()}",
        files=_files(run, book),
    )
