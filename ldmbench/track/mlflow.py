"""The mirror of a run in MLflow: a parent run, a child per cell; replayed without duplicates."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ldmbench.schema.record import Extras, Record, Run
from ldmbench.schema.stage import Plan, Stage
from ldmbench.schema.suite import MlflowSettings
from ldmbench.track.reach import is_local, quiet, shown, unreachable
from ldmbench.track.rows import Training
from ldmbench.track.spool import content_of, forget, is_mirrored, mark, pending

__all__ = ["LIMIT", "follow", "mirror", "pending"]

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
    plan: Plan | None = None,
    limit: float = LIMIT,
) -> str | None:
    """Write a run to MLflow; return None, or one sentence on what is left out or left for later.

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
        plan: what was planned, for the parameters of models and trainings.
        limit: seconds that a remote server gets.
    """
    if not settings.enabled:
        return None
    uri = settings.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri
    experiment = settings.experiment or run.suite
    if is_mirrored(folder, f"{uri} {experiment}"):
        return None
    content = content_of(folder)
    sent = _Sent(unreachable(uri))
    if sent.problem is None:
        target = _Target(
            uri, experiment, folder, uri == default_uri, None if is_local(uri) else limit
        )
        sent = _write(
            target, run, records, extras, files=files, places=places or {},
            stages=plan.by_key() if plan else {},
        )  # fmt: skip
    if sent.problem is None:
        try:
            mark(folder, f"{uri} {experiment}", content, uri=uri, experiment=sent.experiment)
        except OSError as error:
            sent.problem = f"it did, but that cannot be noted: {error.strerror or error}"
    if sent.problem is None:
        return "; ".join(sent.notes) or None
    return "; ".join(
        (
            f"MLflow at {shown(uri)} did not take run {run.id} ({sent.problem}); nothing is lost,"
            " and the next `ldmbench run` or `ldmbench status` tries again.",
            *sent.notes,
        )
    )


def follow(
    run: Run,
    trainings: Sequence[Training],
    *,
    folder: Path,
    settings: MlflowSettings,
    default_uri: str,
) -> str | None:
    """Send curves of trainings that still run, each to a run of its own; return what went wrong.

    `mirror` sends the rest to the same runs. Nothing is raised, as there.

    Args:
        run: that goes on.
        trainings: with their curves so far; their cell is not asked for.
        folder: the run's.
        settings: where to, as in `mirror`.
        default_uri: where to when they do not say it.
    """
    uri = settings.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri
    problem = unreachable(uri)
    if problem is not None:
        return problem
    try:
        with quiet():
            from ldmbench.track.experiment import Experiment

            followed = Experiment.open(
                run, uri=uri, experiment=settings.experiment or run.suite, folder=folder,
                own=uri == default_uri, limit=None if is_local(uri) else LIMIT, places={},
                stages={},
            )  # fmt: skip
            if followed.made is not None:
                forget(folder.parent, uri)
            followed.follow(trainings)
    except Exception as error:  # a mirror stops no run, whatever breaks in it
        return str(error) or type(error).__name__
    return None


@dataclass(frozen=True)
class _Target:
    """Where a run is written.

    Attributes:
        uri: of the server, the database or the folder.
        experiment: its name.
        folder: the run's folder.
        own: the database is the store's, which holds mirrored runs alone.
        limit: seconds that it may take; None for no limit.
    """

    uri: str
    experiment: str
    folder: Path
    own: bool
    limit: float | None


@dataclass
class _Sent:
    """What became of a run: a problem in a few words, notes in a sentence each."""

    problem: str | None = None
    experiment: str = ""
    notes: list[str] = field(default_factory=list)


def _write(
    to: _Target,
    run: Run,
    records: Sequence[Record],
    extras: Extras,
    *,
    files: Mapping[str, Path],
    places: Mapping[str, str],
    stages: Mapping[str, Stage],
) -> _Sent:
    """Write everything."""
    sent = _Sent()
    try:
        with quiet():
            from ldmbench.track.experiment import Experiment

            experiment = Experiment.open(
                run, uri=to.uri, experiment=to.experiment, folder=to.folder, own=to.own,
                limit=to.limit, places=places, stages=stages,
            )  # fmt: skip
            if experiment.made is not None:
                forget(to.folder.parent, to.uri)
                sent.notes += experiment.made.messages
            experiment.write(records, extras, files=files)
            sent.experiment = experiment.experiment
            sent.notes += experiment.left_out(shown(to.uri))
    except Exception as error:  # a mirror stops no run, whatever breaks in it
        text = str(error).strip() or type(error).__name__
        sent.problem = _first_line(text.replace(to.uri, shown(to.uri)))
    return sent


def _first_line(text: str) -> str:
    """Return the first line of an error, shortened; no page that a server answered with."""
    line = text.splitlines()[0].partition(". Response body:")[0].rstrip(".")
    return line if len(line) <= 200 else f"{line[:197]}..."
