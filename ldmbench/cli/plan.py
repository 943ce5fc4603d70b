"""`ldmbench plan`: cells, stages, what is in the store, what the rest will cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import click

from ldmbench.catalog.tasks import TASKS
from ldmbench.cli.options import (
    compile_option,
    duration,
    fresh_option,
    json_option,
    only_option,
    print_json,
    say,
    say_file,
    set_option,
    size,
    store_option,
    suite_argument,
)
from ldmbench.cli.terminal import inert, legible
from ldmbench.cli.weights import missing_weights
from ldmbench.execute.devices import devices, speed_machines
from ldmbench.execute.survey import Survey, check_fresh, is_named, survey
from ldmbench.plan.contexts import described
from ldmbench.plan.estimate import Cost, flops_per_second, stage_cost
from ldmbench.plan.explain import Explainer
from ldmbench.plan.names import names_of
from ldmbench.records.cautions import cautions_of
from ldmbench.schema.stage import Plan, Stage
from ldmbench.session.planning import planned
from ldmbench.store.disk import Store
from ldmbench.store.units import units_of
from ldmbench.words import plural


@click.command()
@suite_argument
@set_option
@only_option
@fresh_option
@compile_option
@click.option("--explain", "why", is_flag=True, help="Say why stages must run.")
@store_option
@json_option
def plan(
    suite: Path,
    sets: Sequence[str],
    only: Sequence[str],
    fresh: Sequence[str],
    no_compile: bool,
    why: bool,
    store: Path,
    as_json: bool,
) -> None:
    """Show what a SUITE would run: cells, stages in the store, device-hours, disk.

    \b
    Examples:
      ldmbench plan suites/downsampling_sweep.yaml
      ldmbench plan suites/quickstart.yaml --set 'sample.steps=[10,20,50]' --explain
    """
    loaded, found = planned(suite, sets, only, store=store, may_compile=not no_compile)
    say_file(suite, loaded.path)
    check_fresh(found, fresh)
    disk = Store(store)
    surveyed = survey(found, disk, fresh=lambda unit: is_named(unit.stage, fresh))
    table = _table(found, surveyed, disk)
    if why:
        table["why"] = _reasons(found, surveyed, disk)
    if as_json:
        print_json(table)
        return
    for cell in _by_task(found):
        click.echo(inert(cell))
    for model, taken in table["loaded"].items():
        click.echo(inert(f"weights of {model}: {taken}"))
    for model, taken in table["first_stages"].items():
        click.echo(inert(f"first stage of {model}: {taken}"))
    for model, read in table["contexts"].items():
        click.echo(inert(f"text encoder of {model}: {read}"))
    _show_splits(table["data"])
    click.echo(f"\n{'stage':<16} {'in store':>9} {'to run':>7} {'time':>9} {'disk':>9}")
    for row in table["stages"]:
        click.echo(
            f"{row['kind']:<16} {row['present']:>9} {row['missing']:>7}"
            f" {duration(row['seconds']):>9} {size(row['bytes']):>9}"
        )
    scratch = sum(row["scratch"] for row in table["stages"])
    passing = f", of which {size(scratch)} while models train" if scratch else ""
    click.echo(
        f"\n{plural(len(found.cells), 'cell')}; about {table['device_hours']:.2g} device-hours on"
        f" {table['device']} and {size(table['bytes'])} of disk to go{passing} (estimates)"
    )
    for text in table["warnings"]:
        say(f"warning: {legible(text)}")
    for row in table["weights"]:
        how = f"import --as {row['name']}" if row["sha256"] is None else size(row["bytes"])
        click.echo(f"weights to fetch or import first: {row['name']} ({how})")
    if why:
        _explain(found, surveyed, table["why"])


def _table(found: Plan, surveyed: Survey, disk: Store) -> dict[str, Any]:
    stages = found.by_key()
    workers = devices()
    [machine, *_] = speed_machines(workers[:1])
    history = [m for kind in ("denoiser", "autoencoder") for m in disk.manifests(kind)]
    rate = flops_per_second(history, stages, machine)
    rows: list[dict[str, Any]] = []
    for kind in dict.fromkeys(stage.kind for stage in found.stages):
        same = [stage for stage in found.stages if stage.kind == kind]
        cost = _sum((_to_run(stage, surveyed, stages) for stage in same), at_once=len(workers))
        missing = sum(unit.stage.kind == kind for unit in surveyed.missing)
        rows.append(
            {
                "kind": kind,
                "present": sum(len(units_of(stage)) for stage in same) - missing,
                "missing": missing,
                "seconds": cost.seconds + cost.flops / rate,
                "bytes": cost.bytes + cost.scratch,
                "scratch": cost.scratch,
                "flops": cost.flops,
            }
        )
    return {
        "cells": [cell.id for cell in found.cells],
        "loaded": {
            cell.model: f"{cell.weights_from} ({cell.weights})"
            for cell in found.cells
            if cell.weights_from
        },
        "first_stages": {
            cell.model: cell.first_stage_from for cell in found.cells if cell.first_stage_from
        },
        "contexts": described(found),
        "stages": rows,
        "device": machine.get("device", workers[0]),
        "device_hours": sum(row["seconds"] for row in rows) / 3600,
        "bytes": sum(row["bytes"] for row in rows),
        "weights": missing_weights(surveyed.missing),
        "data": {name: splits.model_dump() for name, splits in found.splits.items()},
        "warnings": list(dict.fromkeys(t for c in found.cells for t in cautions_of(c, found))),
    }


def _by_task(found: Plan) -> Iterator[str]:
    """Yield the ids of cells, under a line for each task where there are several."""
    tasks: dict[str, list[str]] = {}
    for cell in found.cells:
        tasks.setdefault(cell.conditioning or "", []).append(cell.id)
    order = sorted(tasks, key=lambda name: [*TASKS, name].index(name))
    for number, name in enumerate(order):
        if len(order) > 1:
            label = TASKS[name].label if name in TASKS else "Real images"
            yield from ("",) if number else ()
            yield f"{label}:"
        yield from tasks[name]


def _show_splits(data: dict[str, Any]) -> None:
    """Show how many images of each dataset serve for what."""
    wide = max(16, *(len(inert(name)) for name in data))
    click.echo(f"\n{'images':<{wide}} {'train':>9} {'validation':>10}  reference")
    for name, splits in data.items():
        sides = {f"{side['count']:,} of {side['split']}" for side in splits["references"].values()}
        train = "none" if splits["train"] is None else f"{splits['train']:,}"
        held = "no end" if splits["validation"] is None else f"{splits['validation']:,}"
        shown = "; ".join(sorted(sides))
        click.echo(f"{inert(name):<{wide}} {train:>9} {held:>10}  {shown}")


def _to_run(stage: Stage, surveyed: Survey, stages: dict[str, Stage]) -> Cost:
    units = units_of(stage)
    missing = sum(unit in surveyed.missing for unit in units)
    return stage_cost(stage, stages).times(missing / max(len(units), 1))


def _sum(costs: Iterable[Cost], *, at_once: int) -> Cost:
    """Add up what stages cost; of what passes, the most that so many of them need at a time."""
    listed = list(costs)
    return Cost(
        sum(c.flops for c in listed),
        sum(c.seconds for c in listed),
        sum(c.bytes for c in listed),
        sum(sorted((c.scratch for c in listed), reverse=True)[:at_once]),
    )


def _reasons(found: Plan, surveyed: Survey, disk: Store) -> list[dict[str, object]]:
    """Return what makes stages run: each cause, the stages that it is about, and what follows."""
    why = {u.stage.key: None if r == "not in the store" else r for u, r in surveyed.missing.items()}
    stored = cache(lambda kind: tuple(disk.manifests(kind)))
    groups = Explainer(found.by_key(), stored).groups(why)
    return [{"cause": g.cause, "stages": [*g.first], "then": [*g.then]} for g in groups]


def _explain(found: Plan, surveyed: Survey, reasons: Sequence[dict[str, Any]]) -> None:
    counts = Counter(unit.stage.key for unit in surveyed.missing)
    names = names_of(found)
    for group in reasons:
        click.echo(f"\n{inert(group['cause'])}")
        for role, before in (("stages", ""), ("then", "then ")):
            for key in group[role]:
                units = plural(counts[key], "unit")
                click.echo(inert(f"  {before}{names[key]} ({key[:8]}): {units} to run"))
