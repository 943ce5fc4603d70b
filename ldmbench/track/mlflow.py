"""The mirror of a run in MLflow: a parent run, a child per cell; replayed without duplicates."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ldmbench.schema.record import Extras, Record, Run
from ldmbench.schema.suite import MlflowSettings
from ldmbench.track.reach import is_local, quiet, shown, unreachable
from ldmbench.track.spool import content_of, is_mirrored, mark, pending

__all__ = ["LIMIT", "mirror", "pending"]

LIMIT = 120.0
"""Seconds that a remote server gets per call of `mirror`; the rest is left for the next one."""


def mirror(
    run: Run,
    records: Sequence[Record],
    extras: Extras,
    *,
    folder: Path,
    settings: MlflowSettings,
    default_uri: str,
    files: Mapping[str, Path],
    places: Mapping[str, str] | None = None,
    limit: float = LIMIT,
) -> str | None:
    """Write a run to MLflow; return None, or one sentence on why it is left for later.

    Nothing is raised for what a server, a disk or a network does: the records are on disk, and
    the folder stays in `pending` until a later call succeeds. What was taken before is not sent
    again, so that each call brings a slow server further, and no metric is ever logged twice.

    Args:
        run: the run; `folder` holds it as run.json.
        records: one per cell.
        extras: curves and pictures of the run.
        folder: the run's folder; `mirrored.json` is written there upon success.
        settings: where to; its `tracking_uri` comes before MLFLOW_TRACKING_URI.
        default_uri: where to when neither says so, for example sqlite:///STORE/mlflow.db.
        files: path among the artifacts -> file, for example report/report.html.
        places: name of a model from elsewhere -> its path, hub id or target.
        limit: seconds that a remote server gets.
    """
    if not settings.enabled:
        return None
    uri = settings.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri
    experiment = settings.experiment or run.suite
    if is_mirrored(folder, f"{uri} {experiment}"):
        return None
    content = content_of(folder)
    problem = unreachable(uri)
    if problem is None:
        problem = _write(
            run, records, extras, folder=folder, uri=uri, experiment=experiment, files=files,
            places=places or {}, limit=None if is_local(uri) else limit,
        )  # fmt: skip
    if problem is None:
        try:
            mark(folder, f"{uri} {experiment}", content)
        except OSError as error:
            problem = f"it did, but that cannot be noted: {error.strerror or error}"
    if problem is None:
        return None
    return (
        f"MLflow at {shown(uri)} did not take run {run.id} ({problem}); nothing is lost, and "
        "the next `ldmbench run` or `ldmbench status` tries again."
    )


def _write(
    run: Run,
    records: Sequence[Record],
    extras: Extras,
    *,
    folder: Path,
    uri: str,
    experiment: str,
    files: Mapping[str, Path],
    places: Mapping[str, str],
    limit: float | None,
) -> str | None:
    """Write everything; return what went wrong in a few words."""
    try:
        with quiet():
            from ldmbench.track.book import Book

            book = Book.open(
                run, uri=uri, experiment=experiment, folder=folder, limit=limit, places=places
            )
            book.write(records, extras, files=files)
    except Exception as error:  # a mirror stops no run, whatever breaks in it
        text = str(error).strip() or type(error).__name__
        return _first_line(text.replace(uri, shown(uri)))
    return None


def _first_line(text: str) -> str:
    """Return the first line of an error, shortened."""
    line = text.splitlines()[0].rstrip(".")
    return line if len(line) <= 200 else f"{line[:197]}..."
