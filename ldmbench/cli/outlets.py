"""Hands records to the outlets: the report on disk and the MLflow mirror."""

from __future__ import annotations

import os
from pathlib import Path

from ldmbench.records.book import Book, write_text
from ldmbench.schema.record import Run
from ldmbench.schema.suite import MlflowSettings


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


def mirror_run(run: Run, book: Book, page: Path) -> str | None:
    """Mirror a run to MLflow; return a warning if it could not be reached."""
    from ldmbench.suite.load import settings_of

    settings: MlflowSettings = settings_of(run.source)
    if not settings.enabled or os.environ.get("LDMBENCH_MLFLOW", "1") == "0":
        return None
    from ldmbench.track.mlflow import mirror

    return mirror(
        run,
        book.records(run.id),
        book.extras(run.id),
        folder=book.path(run.id),
        settings=settings,
        default_uri=f"sqlite:///{(book.root / 'mlflow.db').resolve()}",
        files={"report.html": page},
    )
