"""Live: sends the curves of trainings to MLflow while they run; the mirror at the end has all."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence

from filelock import FileLock, Timeout
from pydantic import ValidationError

from ldmbench.execute.execution import Listener
from ldmbench.records.runs import Runs
from ldmbench.schema.record import CurvePoint, Run
from ldmbench.schema.stage import Plan
from ldmbench.session.pages import own_database
from ldmbench.store.disk import Store
from ldmbench.store.units import Unit
from ldmbench.suite.load import settings_of
from ldmbench.track.mlflow import follow
from ldmbench.track.rows import Training

__all__ = ["Live"]

TRAINED = ("autoencoder", "denoiser")
EVERY = 30.0
"""Seconds between two sendings, and before the first: short trainings are sent at the end."""


class Live:
    """A listener that passes everything on, and sends curves in a thread of its own.

    What a server does stops no training; after its first refusal nothing is sent before the end.

    Args:
        inner: shows progress to people.
        run: that goes on.
        plan: names its trainings.
        store: whose scratch holds the curves so far.
        all_runs: where the run lies.
    """

    def __init__(self, inner: Listener, run: Run, plan: Plan, store: Store, all_runs: Runs) -> None:
        self._inner, self._run, self._plan = inner, run, plan
        self._store, self._runs = store, all_runs
        self._settings = settings_of(run.source)
        self._off = not self._settings.enabled or os.environ.get("LDMBENCH_MLFLOW", "1") == "0"
        self._going: dict[Unit, None] = {}
        self._last = time.monotonic()
        self._thread: threading.Thread | None = None

    def planned(self, units: Sequence[Unit]) -> None:
        """Pass it on."""
        self._inner.planned(units)

    def started(self, unit: Unit) -> None:
        """Remember a training."""
        if unit.stage.kind in TRAINED:
            self._going[unit] = None
        self._inner.started(unit)

    def progressed(self, units: Sequence[Unit], fraction: float, note: str) -> None:
        """Send the curves of all trainings, if it is time."""
        self._inner.progressed(units, fraction, note)
        idle = self._thread is None or not self._thread.is_alive()
        trained = not self._going.keys().isdisjoint(units)
        if not self._off and trained and idle and time.monotonic() > self._last + EVERY:
            self._last = time.monotonic()
            self._thread = threading.Thread(target=self._send, daemon=True)
            self._thread.start()

    def finished(self, unit: Unit, seconds: float | None) -> None:
        """Forget a training."""
        self._going.pop(unit, None)
        self._inner.finished(unit, seconds)

    def failed(self, unit: Unit, reason: str) -> None:
        """Forget a training."""
        self._going.pop(unit, None)
        self._inner.failed(unit, reason)

    def warned(self, text: str) -> None:
        """Pass it on."""
        self._inner.warned(text)

    def close(self) -> None:
        """Wait for what is being sent."""
        if self._thread is not None:
            self._thread.join()

    def _send(self) -> None:
        trainings = [
            Training(name, unit.stage.kind, unit.stage.key, "", points)
            for unit in list(self._going)
            if (points := self._points(unit)) and (name := self._name(unit))
        ]
        if not trainings:
            return
        folder = self._runs.path(self._run.id)
        try:
            with FileLock(folder / "mlflow.lock").acquire(timeout=0):
                problem = follow(
                    self._run,
                    trainings,
                    folder=folder,
                    settings=self._settings,
                    default_uri=own_database(self._runs),
                )
        except Timeout:
            return
        self._off = problem is not None

    def _points(self, unit: Unit) -> list[CurvePoint]:
        """Return a training's curve so far; none where its worker computes elsewhere."""
        path = self._store.root / "scratch" / unit.address.name / "curve.jsonl"
        try:
            lines = path.read_text("utf-8").splitlines()
            return [CurvePoint(**json.loads(line)) for line in lines]
        except (OSError, ValueError, ValidationError):
            return []

    def _name(self, unit: Unit) -> str:
        """Return what records call a training: the first model that has it, and its kind."""
        kind, key = unit.stage.kind, unit.stage.key
        cells = (cell for cell in self._plan.cells if cell.stages.get(kind) == key)
        return next((f"{cell.model}/{cell.dataset} {kind}" for cell in cells), "")
