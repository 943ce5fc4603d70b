"""`ldmbench history`: series per measure over the runs of a store, and where they step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ldmbench.cli.options import (
    json_option,
    print_json,
    say,
    store_option,
)
from ldmbench.cli.terminal import inert
from ldmbench.errors import InconclusiveError, InputError
from ldmbench.gating import history as series_of
from ldmbench.gating import history_data
from ldmbench.gating.baseline import suite_of
from ldmbench.gating.history import Series
from ldmbench.plan.expand import matches
from ldmbench.records.runs import Runs
from ldmbench.schema.record import Record, Run
from ldmbench.words import plural


@click.command()
@click.option("--suite", default=None, help="Of this suite; the last run's when unset.")
@click.option(
    "--only", multiple=True, metavar="GLOB", help="Only cells whose id matches; repeatable."
)
@click.option("--measure", multiple=True, help="Only this score or measure; repeatable.")
@click.option("--all", "everything", is_flag=True, help="Also series without a step.")
@store_option
@json_option
def history(
    suite: str | None,
    only: Sequence[str],
    measure: Sequence[str],
    everything: bool,
    store: Path,
    as_json: bool,
) -> int:
    """Show how every measure went over the runs of a store, and name the run where it stepped.

    Speeds are in yardsticks, so that a slower runner is no step. A level needs two runs.

    \b
    Examples:
      ldmbench history
      ldmbench history --measure fid --only 'ldm/*' --all
      ldmbench history --suite smoke --json
    """
    all_runs = Runs(store)
    name = suite or suite_of(all_runs.find().id)
    runs = [run for run in all_runs.runs() if run.suite == name and run.state in ("done", "failed")]
    if not runs:
        raise InputError(f"no finished run of suite '{name}' in {store}")
    readable = [(run, _wanted(records, only)) for run, records in _readable(runs, all_runs)]
    if as_json:
        data = history_data(name, readable, names=measure)
        print_json(data)
        return 0 if data["series"] else 3
    found = series_of(readable, names=measure)
    if not found:
        raise InconclusiveError("no numbers to show; see --measure and --only")
    shown = [s for s in found if everything or s.steps or measure]
    _show(shown)
    stepped = sum(bool(s.steps) for s in found)
    click.echo(
        f"{plural(len(readable), 'run')} of {name}, {len(found)} series, {stepped} with a step"
    )
    return 0


def _readable(runs: Sequence[Run], all_runs: Runs) -> list[tuple[Run, list[Record]]]:
    """Return runs with their records; one that is damaged keeps no other from being shown.

    Raises:
        InputError: if all of them are damaged.
    """
    found: list[tuple[Run, list[Record]]] = []
    damage: InputError | OSError | None = None
    for run in runs:
        try:
            found.append((run, all_runs.records(run.id)))
        except (InputError, OSError) as error:
            damage = damage or error
            say(f"warning: run {inert(run.id)} is left out: {inert(str(error))}")
    if damage and not found:
        raise damage
    return found


def _wanted(records: Sequence[Record], only: Sequence[str]) -> list[Record]:
    return [r for r in records if not only or any(matches(r.cell.id, glob) for glob in only)]


def _show(shown: Sequence[Series]) -> None:
    cell = None
    for series in shown:
        if series.cell != cell:
            click.echo(inert(series.cell))
            cell = series.cell
        values = [point.value for point in series.points]
        click.echo(f"  {inert(series.name):<22} {series.sparkline[-40:]:<40} {values[-1]:.4g}")
        for step in series.steps:
            change = f"{step.before:.4g} -> {step.after:.4g}"
            click.echo(f"    {step.direction} at {inert(step.run)}: {change}")
