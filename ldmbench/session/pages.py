"""Hands records to the outlets: the report on disk and the MLflow mirror."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from ldmbench.errors import LdmbenchError
from ldmbench.gating.history import history
from ldmbench.records.compare import stored_replicates
from ldmbench.records.runs import Runs, write_text
from ldmbench.report import figures_of, render, save_figures
from ldmbench.schema.record import Extras, Record, Run
from ldmbench.schema.suite import MlflowSettings
from ldmbench.suite.load import places_of, settings_of
from ldmbench.track.mlflow import mirror
from ldmbench.track.reach import address_of, is_remote, shown
from ldmbench.track.spool import experiment_of, is_pending, pending

HISTORY_RUNS = 50
"""Runs of a suite that a page's history goes back."""
LOOPBACK = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves unless an option says otherwise."""
LOCK_TIMEOUT_SECONDS = 5.0
"""Seconds to wait for another process that is sending the same run."""


def rendered(
    run: Run,
    all_runs: Runs,
    form: str,
    *,
    metrics: Sequence[str] = (),
    records: Sequence[Record] | None = None,
) -> str:
    """Return a run's report in one format, of some cells and scores alone where asked.

    Args:
        run: the run.
        all_runs: where its records lie.
        form: the format.
        metrics: only these scores and measures; all when empty.
        records: only these of its records; all when None.
    """
    return render(
        run,
        all_runs.records(run.id) if records is None else records,
        _extras(run, all_runs, records),
        folder=all_runs.path(run.id),
        format=form,
        history=_history(run, all_runs) if form == "html" and records is None else (),
        replicates=stored_replicates(*all_runs.stores),
        metrics=metrics,
    )


def write_figures(
    run: Run,
    all_runs: Runs,
    folder: Path,
    *,
    formats: Sequence[str] = ("svg", "pdf", "png"),
    metrics: Sequence[str] = (),
    records: Sequence[Record] | None = None,
) -> list[Path]:
    """Write every figure of a run in every format, of some cells alone; return the files."""
    shown = all_runs.records(run.id) if records is None else records
    charts = figures_of(run, shown, _extras(run, all_runs, records), metrics=metrics)
    return save_figures(charts, folder, formats=formats)


def _extras(run: Run, all_runs: Runs, records: Sequence[Record] | None) -> Extras:
    """Return curves, coding and pictures of a run, or what of them belongs to some records."""
    extras = all_runs.extras(run.id)
    if records is None:
        return extras
    ids = {r.cell.id for r in records}
    owners = {f"{r.cell.model}/{r.cell.dataset}" for r in records}
    pictures = ids | {f"real/{r.cell.dataset}" for r in records}
    return extras.model_copy(
        update={
            "curves": {k: v for k, v in extras.curves.items() if k.rpartition(" ")[0] in owners},
            "coding": {k: v for k, v in extras.coding.items() if k in ids},
            "spectra": {k: v for k, v in extras.spectra.items() if k in ids},
            "pictures": tuple(p for p in extras.pictures if p.title in pictures),
        }
    )


def _history(run: Run, all_runs: Runs) -> list[dict[str, object]]:
    """Return the series over the suite's runs up to this one; runs that are damaged are left out.

    The report knows nothing of the gate, which finds the steps: it is handed plain data.
    """
    ended = [r for r in all_runs.runs() if r.suite == run.suite and r.state in ("done", "failed")]
    past = []
    for one in [r for r in ended if r.started <= run.started][-HISTORY_RUNS:]:
        try:
            past.append((one, all_runs.records(one.id)))
        except LdmbenchError:
            continue
    return [series.to_json() for series in history(past)] if len(past) > 1 else []


def write_report(
    run: Run, all_runs: Runs, *, again: bool, records: Sequence[Record] | None = None
) -> Path:
    """Write a run's HTML page unless it is there, and return its path.

    Args:
        run: the run.
        all_runs: where its records lie.
        again: write it although it is there.
        records: of a run that lies in no store; None reads them from `all_runs`.
    """
    path = all_runs.root / "reports" / f"{run.id}.html"
    if again or not path.is_file():
        write_text(path, rendered(run, all_runs, "html", records=records))
    return path


def replay(all_runs: Runs) -> Iterator[str]:
    """Mirror every ended run that MLflow has not taken yet; yield one warning per server.

    A server that did not take one run is not asked for the others, which would each wait for it.
    """
    failed: set[str | None] = set()
    tried: set[Path] = set()
    said: set[str | None] = {None}
    while left := [folder for folder in pending(all_runs.folder) if folder not in tried]:
        for folder in left:  # a new database leaves more of them
            tried.add(folder)
            try:
                run = all_runs.find(folder.name)
                settings = settings_of(run.source)
                if not settings.enabled or os.environ.get("LDMBENCH_MLFLOW", "1") == "0":
                    continue
                if settings.tracking_uri in failed:
                    continue
                warning = _mirror(run, all_runs, settings)
            except Exception as error:  # a run that is damaged keeps no other from MLflow
                yield f"MLflow was not sent run {folder.name}: {' '.join(str(error).split())[:200]}"
                continue
            if warning and is_pending(folder):
                failed.add(settings.tracking_uri)
            if warning not in said:
                said.add(warning)
                yield str(warning)


def mirror_of(run: Run, all_runs: Runs) -> str:
    """Return where MLflow shows a run, and how to look where no server does; '' without a mirror.

    A run that was taken is shown in the view of training: MLflow opens with another by itself.
    """
    settings = settings_of(run.source)
    if not settings.enabled or os.environ.get("LDMBENCH_MLFLOW", "1") == "0":
        return ""
    uri = settings.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or own_database(all_runs)
    number = experiment_of(all_runs.path(run.id), uri)
    view = f"/#/experiments/{number}/runs?workflowType=machine_learning" if number else ""
    if is_remote(uri):
        return shown(uri).rstrip("/") + view
    command = shlex.join(["mlflow", "ui", "--backend-store-uri", shown(uri)])
    return f"{command}, then open {LOOPBACK}{view}" if view else command


def own_database(all_runs: Runs) -> str:
    """Return the address of the store's own database."""
    return address_of((all_runs.root / "mlflow.db").resolve())


def _files(run: Run, all_runs: Runs) -> dict[str, Path]:
    """Return what MLflow keeps beside the numbers: the page, the tables, every figure."""
    figures = write_figures(run, all_runs, all_runs.path(run.id) / "figures", formats=("svg",))
    table = all_runs.path(run.id) / "table.md"
    write_text(table, rendered(run, all_runs, "markdown"))
    return {
        "report/report.html": write_report(run, all_runs, again=False),
        "report/table.md": table,
        **{f"figures/{path.name}": path for path in figures},
    }


def _mirror(run: Run, all_runs: Runs, settings: MlflowSettings) -> str | None:
    """Send one run, unless another process is sending it; return why it was not taken."""
    try:
        with FileLock(all_runs.path(run.id) / "mlflow.lock").acquire(timeout=LOCK_TIMEOUT_SECONDS):
            return mirror(
                run,
                all_runs.records(run.id),
                all_runs.extras(run.id),
                folder=all_runs.path(run.id),
                settings=settings,
                default_uri=own_database(all_runs),
                files=_files(run, all_runs),
                places=places_of(run.source),
                plan=all_runs.plan(run.id),
            )
    except Timeout:
        return None
