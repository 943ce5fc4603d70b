"""What a person sees while a run goes on: one bar a unit, one for all, with an ETA; on stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from ldmbench.cli.options import duration, plural
from ldmbench.store.units import Unit

WEIGHTS = {"denoiser": 60.0, "autoencoder": 60.0, "samples": 6.0, "speed": 5.0, "coding": 3.0}
"""Rough shares of a run's time, until measured durations replace them."""


class Watch:
    """A listener that draws bars on a terminal and plain lines elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True)
        self.live = self.console.is_terminal and not quiet
        self.quiet = quiet
        self._lock = threading.Lock()
        self._bars: dict[Unit, TaskID] = {}
        self._left: Counter[str] = Counter()
        self._seconds: dict[str, list[float]] = {}
        self._fractions: dict[Unit, float] = {}
        self._began = time.monotonic()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.live,
        )
        self._all: TaskID | None = None

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        self._progress.stop()

    def planned(self, units: Sequence[Unit]) -> None:
        """Show how much there is to do."""
        with self._lock:
            self._left = Counter(unit.stage.kind for unit in units)
            if self._all is None:
                self._all = self._progress.add_task("all", total=1.0, note="")
        kinds = Counter(unit.stage.kind for unit in units)
        parts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        self._line(f"{plural(len(units), 'unit')} to run: {parts}")

    def started(self, unit: Unit) -> None:
        """Show a bar for a unit."""
        with self._lock:
            self._bars[unit] = self._progress.add_task(unit.label, total=1.0, note="")
            if unit.shard is None and not self.live:
                self._line(f"  {unit.label} ...")

    def progressed(self, unit: Unit, fraction: float, note: str) -> None:
        """Move a unit's bar and the ETA."""
        with self._lock:
            if unit in self._bars:
                self._progress.update(self._bars[unit], completed=fraction, note=note)
            self._fractions[unit] = fraction
            self._update_all()

    def finished(self, unit: Unit, seconds: float | None) -> None:
        """Take a unit's bar away."""
        with self._lock:
            self._drop(unit)
            if seconds is not None:
                self._seconds.setdefault(unit.stage.kind, []).append(seconds)
                if unit.shard is None:
                    self._line(f"  {unit.label} done in {duration(seconds)}")
            self._update_all()

    def failed(self, unit: Unit, reason: str) -> None:
        """Say that a unit failed."""
        with self._lock:
            self._drop(unit)
        self.warned(f"{unit.label} failed: {reason}")

    def warned(self, text: str) -> None:
        """Say something the user should know."""
        self._line(f"{click.style('warning:', fg='yellow')} {text}", always=True)

    def _drop(self, unit: Unit) -> None:
        bar = self._bars.pop(unit, None)
        if bar is not None:
            self._progress.remove_task(bar)
            self._left[unit.stage.kind] -= 1
        self._fractions.pop(unit, None)

    def _update_all(self) -> None:
        if self._all is None:
            return
        running = sum(self._weight(u.stage.kind) * f for u, f in self._fractions.items())
        left = sum(self._weight(kind) * n for kind, n in self._left.items()) - running
        spent = time.monotonic() - self._began
        known = running + sum(sum(s) for s in self._seconds.values())
        remaining = left * (spent / known) if known > 1 else left
        share = spent / (spent + remaining) if spent + remaining else 1.0
        self._progress.update(self._all, completed=share, note=f"about {duration(remaining)} left")

    def _weight(self, kind: str) -> float:
        known = self._seconds.get(kind)
        return sum(known) / len(known) if known else WEIGHTS.get(kind, 0.5)

    def _line(self, text: str, *, always: bool = False) -> None:
        if self.quiet and not always:
            return
        if self.live:
            self._progress.console.print(text, markup=False, highlight=False)
        else:
            click.echo(text, file=sys.stderr)
