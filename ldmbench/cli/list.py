"""`ldmbench list`: what a suite may name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ldmbench.catalog.datasets import DATASETS
from ldmbench.catalog.extractors import EXTRACTORS
from ldmbench.catalog.measures import PROBES
from ldmbench.catalog.metrics import METRICS
from ldmbench.catalog.presets import PRESETS
from ldmbench.catalog.samplers import SAMPLERS
from ldmbench.cli.options import json_option, print_json
from ldmbench.cli.terminal import listed
from ldmbench.plugin_files import GROUPS
from ldmbench.plugins import checked
from ldmbench.schema.base import by_kind
from ldmbench.schema.models import Model
from ldmbench.suite.load import headline
from ldmbench.suite.protocol_files import protocol_named, shipped_protocols
from ldmbench.suite.shipped import shipped, suites_in

TABLES: dict[str, Mapping[str, Any]] = {
    "models": by_kind(Model),
    "datasets": DATASETS,
    "presets": PRESETS,
    "samplers": SAMPLERS,
    "metrics": METRICS,
    "probes": PROBES,
    "extractors": EXTRACTORS,
}


@click.command("list")
@click.argument("what", type=click.Choice([*TABLES, "protocols", "suites"]))
@json_option
def list_(what: str, as_json: bool) -> None:
    """List what a suite may name, or the suites that ldmbench finds.

    \b
    Examples:
      ldmbench list metrics
      ldmbench list suites
    """
    of_files = {"protocols": _protocols, "suites": _suites}
    rows = of_files[what]() if what in of_files else _rows(what)
    rows |= _plugins(what)
    if as_json:
        print_json(rows)
        return
    click.echo(listed(rows))


def _rows(what: str) -> dict[str, str]:
    """Return what each row of a table is; the classes of a suite's nouns say it themselves."""
    return {
        name: str(row.__doc__).partition("\n")[0] if isinstance(row, type) else row.summary
        for name, row in TABLES[what].items()
    }


def _plugins(what: str) -> dict[str, str]:
    """Return installed code of others by the name of its entry point, and where it comes from."""
    if what not in GROUPS:
        return {}
    return {
        point.name: f"{point.target}, from {point.origin}"
        + (f"; broken: {problem}" if problem else "")
        for point, problem in checked(what, Path.cwd())
    }


def _protocols() -> dict[str, str]:
    """Return the protocols that ship, and what each is."""
    return {name: protocol_named(name).about for name in shipped_protocols()}


def _suites() -> dict[str, str]:
    """Return the suite files below ./suites, the others that ship, and what each asks."""
    here = suites_in(Path("suites"))
    listed = {path.resolve() for path in here}
    found = {str(path): path for path in here}
    found |= {name: path for name, path in shipped().items() if path.resolve() not in listed}
    return {name: headline(path) for name, path in found.items()}
