"""What a person sees while a run goes on: one bar a unit, one for all, with an ETA; on stderr."""

from __future__ import annotations

import sys
import threading
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
from rich.table import Column
from rich.text import Text

from ldmbench.cli.options import duration
from ldmbench.cli.remaining import Remaining
from ldmbench.cli.terminal import drawing, fitted, inert, legible, say_tinted
from ldmbench.plan.names import names_of
from ldmbench.schema.stage import Plan
from ldmbench.store.units import Unit
from ldmbench.words import plural

EVERY = 60.0
"""Seconds between lines of progress where there is no terminal for bars."""
MOST_RUNNING = 3
"""Units that such a line names."""
WORTH_A_LINE = 1.0
"""Seconds from which a terminal, which has bars, also keeps a line of a finished unit."""


class Watch:
    """A listener that draws bars on a terminal, elsewhere plain lines: one a minute at least.

    Args:
        plan: names stages and says what they cost; 'denoiser 3fa9c1e2' when unset.
        quiet: show warnings alone.
    """

    def __init__(self, plan: Plan | None = None, *, quiet: bool = False) -> None:
        self.console = Console(file=drawing(sys.stderr))
        self.live = self.console.is_terminal and not quiet
        self.quiet = quiet
        self._names = names_of(plan) if plan else {}
        self._labels: dict[str, str] = {}
        self._awake = False
        self._count = 0
        self._lock = threading.Lock()
        self._bars: dict[Unit, TaskID] = {}
        self._over = 0
        self._remaining = Remaining(plan)
        self._progress = Progress(
            SpinnerColumn(table_column=Column(width=1)),
            TextColumn("{task.description}", markup=False, table_column=_cut()),
            BarColumn(bar_width=10, table_column=Column(min_width=10)),
            TextColumn("{task.fields[note]}", style="dim", markup=False, table_column=_cut()),
            TimeElapsedColumn(table_column=Column(min_width=7, no_wrap=True)),
            console=self.console,
            transient=True,
            disable=not self.live,
        )
        self._all: TaskID | None = None
        self._ended = threading.Event()
        self._clock = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._progress.start()
        if not self.live and not self.quiet:
            self._clock.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        self._ended.set()
        self._progress.stop()

    def planned(self, units: Sequence[Unit]) -> None:
        """Show how much there is to do."""
        with self._lock:
            self._remaining.planned(units)
            self._count, self._over = len(units), 0
            self._labels = {u.stage.label: self._named(u) for u in units if u.shard is None}
            if self._all is None:
                self._all = self._progress.add_task("all", total=1.0, note="")
                self._update_all()
        kinds = Counter(unit.stage.kind for unit in units)
        parts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        self._line(f"{plural(len(units), 'unit')} to run: {parts}")

    def started(self, unit: Unit) -> None:
        """Show a bar for a unit."""
        with self._lock:
            self._drop_bar(unit)  # of a machine that was lost with it
            self._remaining.began_again(unit)
            note = "" if self._awake else "starting a worker"
            self._bars[unit] = self._progress.add_task(self._named(unit), total=1.0, note=note)
            if unit.shard is None and not self.live:
                self._line(f"  {self._named(unit)} ...")

    def progressed(self, units: Sequence[Unit], fraction: float, note: str) -> None:
        """Move the bars of a task's units and the ETA."""
        with self._lock:
            self._awake = True
            for unit in units:
                if unit in self._bars:
                    self._progress.update(self._bars[unit], completed=fraction, note=inert(note))
            self._remaining.progressed(units, fraction)
            self._update_all()

    def finished(self, unit: Unit, seconds: float | None) -> None:
        """Take a unit's bar away."""
        with self._lock:
            self._end(unit, seconds)
            self._awake = True
            shown = not self.live or (seconds or 0.0) >= WORTH_A_LINE
            if seconds is not None and unit.shard is None and shown:
                self._line(f"  {self._named(unit)} done in {duration(seconds)}")
            self._update_all()

    def failed(self, unit: Unit, reason: str) -> None:
        """Say that a unit failed."""
        with self._lock:
            self._end(unit, None)
        self.warned(f"{self._named(unit)} failed: {reason}")

    def warned(self, text: str) -> None:
        """Say something the user should know."""
        for label, name in self._labels.items():
            text = text.replace(label, name)
        if self.live:
            line = Text.assemble(("warning:", "yellow"), " ", legible(text))
            self._progress.console.print(line)
        else:
            say_tinted("warning:", "yellow", legible(text))

    def _named(self, unit: Unit) -> str:
        """Return what people call a unit; a shard says which items it holds."""
        name = inert(self._names.get(unit.stage.key, unit.stage.label))
        many = unit.shard is not None and (unit.stage.count or 0) > unit.shard[1] - unit.shard[0]
        return f"{name} {unit.shard[0]}-{unit.shard[1]}" if many and unit.shard else name

    def _tick(self) -> None:
        while not self._ended.wait(EVERY):
            with self._lock:
                text = self._said_now()
            if text:
                self._line(text)

    def _said_now(self) -> str:
        """Return how far all is, and each of the first units that run; '' when none does."""
        tasks = {task.id: task for task in self._progress.tasks}
        running = [tasks[bar] for bar in self._bars.values()]
        if self._all is None or not running:
            return ""
        known = tasks[self._all]
        parts = [known.description, known.fields["note"]]
        for task in running[:MOST_RUNNING]:
            note = task.fields["note"]
            parts.append(
                f"{task.description} {task.percentage:.0f} %" + (f" ({note})" if note else "")
            )
        if len(running) > MOST_RUNNING:
            parts.append(f"{len(running) - MOST_RUNNING} more")
        return "  " + "; ".join(part for part in parts if part)

    def _end(self, unit: Unit, seconds: float | None) -> None:
        self._over += self._drop_bar(unit)
        self._remaining.finished(unit, seconds)

    def _drop_bar(self, unit: Unit) -> bool:
        """Take a bar away; tell whether there was one."""
        bar = self._bars.pop(unit, None)
        if bar is not None:
            self._progress.remove_task(bar)
        return bar is not None

    def _update_all(self) -> None:
        if self._all is None:
            return
        left = self._remaining.seconds()
        self._progress.update(
            self._all,
            completed=self._remaining.share(),
            description=f"all: {self._over} of {self._count} units",
            note="" if left is None else f"about {_rough(left)} left",
        )

    def _line(self, text: str) -> None:
        if self.quiet:
            return
        if self.live:
            self._progress.console.print(Text(legible(text)))
        else:
            click.echo(fitted(text, sys.stderr), file=sys.stderr)


def _rough(seconds: float) -> str:
    """Return a duration that is a guess: '40 s', '3 min', '2.5 h'."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _cut() -> Column:
    """Return a column that is cut short where it is too wide, not wrapped."""
    return Column(no_wrap=True, overflow="ellipsis")
