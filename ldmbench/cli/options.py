"""Options that commands share, and the ways they print."""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ldmbench.catalog.metrics import METRICS
from ldmbench.cli.terminal import fitted, in_json
from ldmbench.pipeline import STAGES
from ldmbench.records.runs import Runs
from ldmbench.session.planning import usual_store
from ldmbench.store.disk import Store
from ldmbench.suite.shipped import shipped, suites_in

F = TypeVar("F", bound=Callable[..., object])


class _Folder(click.Path):
    """A folder's name; one without text would be the current folder."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the path, if it has text."""
        return super().convert(usual_store(value), param, ctx)


class Whole(click.IntRange):
    """An integer in ASCII: int() alone reads the digits of every script, and `²` ends it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        if not str(value).isascii():
            self.fail(f"{value!r} is not written in the digits 0 to 9.", param, ctx)
        return super().convert(value, param, ctx)


class Real(click.FloatRange):
    """A finite number in ASCII."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        if not str(value).isascii():
            self.fail(f"{value!r} is not written in the digits 0 to 9.", param, ctx)
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return found

    def _describe_range(self) -> str:
        return "" if self.min is None and self.max is None else super()._describe_range()


def store_option(command: F) -> F:
    """Add --store DIR."""
    return click.option(
        "--store",
        type=_Folder(path_type=Path, file_okay=False),
        default=usual_store,
        show_default="$LDMBENCH_STORE, else ./.ldmbench",
        help="Folder of runs and artefacts.",
    )(command)


def json_option(command: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def _suites(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    here = Path(incomplete).parent
    found = [*map(str, (*here.glob("*.yaml"), *suites_in(here / "suites"))), *shipped()]
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def suite_argument(command: F) -> F:
    """Add the SUITE argument: a file, or the name of a suite that ships."""
    return click.argument("suite", type=click.Path(path_type=Path), shell_complete=_suites)(command)


def say_file(suite: Path, found: Path) -> None:
    """Say which file was taken for a suite that is named without one."""
    if found != suite:
        say(f"suite {suite}: {found}")


def set_option(command: F) -> F:
    """Add --set PATH=VALUE."""
    return click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="PATH=VALUE",
        help="Change a field, such as sample.count=64 or sample.steps=[10,20]; repeatable.",
    )(command)


def compile_option(command: F) -> F:
    """Add --no-compile."""
    return click.option(
        "--no-compile",
        is_flag=True,
        help="Train no network compiled, whatever the suite and its FLOPs say.",
    )(command)


def dataset_option(command: F) -> F:
    """Add --dataset NAME."""
    return click.option(
        "--dataset",
        metavar="NAME",
        help="The protocol's rules for this dataset: crop, resize and count of real images.",
    )(command)


def resolution_option(command: F) -> F:
    """Add --resolution N."""
    return click.option(
        "--resolution",
        type=Whole(8, 2048),
        metavar="N",
        help="Pixels a side that images are cropped and resized to.",
    )(command)


def only_option(command: F) -> F:
    """Add --only GLOB."""
    return click.option(
        "--only",
        multiple=True,
        metavar="GLOB",
        help="Only cells whose id matches, such as 'ldm[f=4]/*'; repeatable.",
    )(command)


def _stages(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(kind) for kind in STAGES if kind.startswith(incomplete)]


def complete_metrics(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the last name of M,... with the metrics that are not named yet."""
    before, comma, last = incomplete.rpartition(",")
    left = [name for name in METRICS if name.startswith(last) and name not in before.split(",")]
    return [CompletionItem(f"{before}{comma}{name}", help=METRICS[name].summary) for name in left]


def fresh_option(command: F) -> F:
    """Add --fresh STAGE."""
    return click.option(
        "--fresh",
        multiple=True,
        metavar="STAGE",
        help="Compute a stage kind (or kind/key) again although the store has it; repeatable.",
        shell_complete=_stages,
    )(command)


def complete_runs(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the id of a run in the store, the newest first."""
    root = ctx.params.get("store") or usual_store()
    ids = [run.id for run in reversed(Runs(root).runs())]
    return [CompletionItem(i) for i in ids if i.startswith(incomplete)]


def run_argument(command: F) -> F:
    """Add the RUN argument."""
    return click.argument("run", required=False, metavar="[RUN]", shell_complete=complete_runs)(
        command
    )


def typed(*words: object, store: Path) -> str:
    """Return a command as a user types it, with --store where the usual one is not meant."""
    where = [] if store == usual_store() else ["--store", store]
    return shlex.join(["ldmbench", *map(str, (*words, *where))])


def opened(root: Path) -> Store:
    """Open the store for writing."""
    store = Store(root)
    store.open()
    return store


def print_json(value: object) -> None:
    """Print JSON to stdout; what its encoding lacks or a terminal obeys as JSON's own escapes."""
    escaped = (sys.stdout.encoding or "").lower().replace("_", "-") not in ("utf-8", "utf8")
    click.echo(in_json(json.dumps(value, indent=1, ensure_ascii=escaped, allow_nan=False)))


def say(text: str) -> None:
    """Print a line of progress to stderr."""
    click.echo(fitted(text, sys.stderr), err=True)


def duration(seconds: float) -> str:
    """Return a duration for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""
