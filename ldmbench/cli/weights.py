"""`ldmbench weights`: evaluator weights: where they lie, their digest and licence, here or not."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ldmbench.catalog.extractors import extractor_named
from ldmbench.catalog.metrics import FAMILIES, networks_of
from ldmbench.cli.options import json_option, print_json, say, size
from ldmbench.cli.terminal import columns_of, drawing, width
from ldmbench.errors import InputError
from ldmbench.execute.survey import is_named, survey
from ldmbench.schema.params import ExtractedFeatures, ScoresParams
from ldmbench.schema.stage import Plan
from ldmbench.schema.weights import Weights
from ldmbench.sources.evaluators import (
    WeightsState,
    import_weights,
    list_weights,
    verify_weights,
    weights_path,
)
from ldmbench.store.disk import Store
from ldmbench.store.units import Unit
from ldmbench.words import plural


@click.group()
@json_option
@click.pass_context
def weights(ctx: click.Context, as_json: bool) -> None:
    """Show, check or bring in the weights of evaluators.

    \b
    Examples:
      ldmbench weights list
      ldmbench weights verify inception-v3-compat
      ldmbench weights import weights-inception-2015-12-05-6726825d.pth
      ldmbench weights import dinov2_vitl14_pretrain.pth --as dinov2-vit-l-14
    """
    ctx.obj = as_json


@weights.command("list")
@json_option
@click.pass_obj
def list_(before: bool, as_json: bool) -> None:
    """List all weights: name, here or not, size, licence, digest and place; no file is read."""
    _show([_row(state) for state in list_weights()], as_json=before or as_json)


@weights.command()
@click.argument("names", nargs=-1)
@json_option
@click.pass_obj
def verify(before: bool, names: tuple[str, ...], as_json: bool) -> int:
    """Check the digest of the named weights (all that are here when none is named).

    Ends with 2 if a file is damaged, or named and missing.
    """
    rows = [_row(state) for state in verify_weights(*names)]
    _show(rows, as_json=before or as_json)
    wrong = [r for r in rows if r["state"] == "damaged" or (names and r["state"] == "missing")]
    for row in wrong:
        say(_advice(row))
    return 2 if wrong else 0


@weights.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--as", "name", metavar="NAME", help="Weights without a published digest: which.")
@json_option
@click.pass_obj
def import_(before: bool, file: Path, name: str | None, as_json: bool) -> None:
    """Copy a FILE that was fetched elsewhere to its place; its digest says which one it is.

    Of weights without a published digest --as NAME says it: the file must hold exactly the tensors
    of that network, and its digest is kept; from then on no other file is used under that name.
    """
    target = import_weights(file, name, check=_check_layout)
    row = next(row for row in map(_row, list_weights()) if row["path"] == str(target))
    if before or as_json:
        print_json({key: row[key] for key in ("path", "name", "sha256", "origin")})
    else:
        click.echo(f"{target}  {row['sha256']}  {row['origin']}")


def _check_layout(name: str, file: Path) -> None:
    """Refuse a file that does not hold the tensors of a name's network."""
    from ldmbench.features.layouts import check_layout  # torch, which other commands need not

    check_layout(name, file)


def require_weights(plan: Plan, store: Store, *, fresh: Sequence[str] = ()) -> None:
    """Bring the weights that a plan will need, digest-checked, before anything runs.

    Raises:
        InputError: naming file, size, digest and place of each that is damaged, or missing and
            cannot be fetched.
    """
    missing = survey(plan, store, fresh=lambda u: is_named(u.stage, fresh), machines=()).missing
    problems: list[str] = []
    for name in needed_weights(missing):
        try:
            with _Fetching() as fetching:
                weights_path(name, fetched=fetching)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))


def needed_weights(units: Iterable[Unit]) -> list[str]:
    """Return the names of the weights that these units will read."""
    names: list[str] = []
    for unit in units:
        params = unit.stage.params
        if isinstance(params, ExtractedFeatures):
            spec = extractor_named(params.extractor)
            names += [name for name in (spec.weights, spec.tokenizer) if name]
        elif isinstance(params, ScoresParams):
            names += networks_of(FAMILIES[params.family], params.options)
    return list(dict.fromkeys(names))


def missing_weights(units: Iterable[Unit]) -> list[dict[str, object]]:
    """Return the rows of the weights that these units will read and whose files are not here."""
    names = set(needed_weights(units))
    rows = [_row(state) for state in list_weights()]
    return [row for row in rows if row["name"] in names and row["state"] == "missing"]


class _Fetching(AbstractContextManager["_Fetching"]):
    """Shows a download: one line, and on a terminal a bar with what is left."""

    def __init__(self) -> None:
        console = Console(file=drawing(sys.stderr))
        self._bar = Progress(
            BarColumn(bar_width=20),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __call__(self, weights: Weights, done: int) -> None:
        """Draw how far it is."""
        if done == 0:
            much = size(weights.bytes or 0)
            say(f"fetching the weights {weights.name} ({much}) from {weights.url}")
            self._bar.start()
            self._bar.add_task("", total=weights.bytes)
        self._bar.update(TaskID(0), completed=done)

    def __exit__(self, *error: object) -> None:
        """Take the bar away."""
        self._bar.stop()


def _row(state: WeightsState) -> dict[str, Any]:
    return {
        **state.weights.model_dump(mode="json", exclude={"kind"}),
        "sha256": state.sha256,
        "bytes": state.bytes,
        "origin": state.origin,
        "state": state.state,
        "path": str(state.path),
    }


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    shown = [
        [
            row["name"],
            row["state"],
            "" if row["bytes"] is None else size(row["bytes"]),
            *([row["licence"]] if width() is None else []),  # a terminal has no room for it
            (row["sha256"] or "")[: 8 if width() else 12],
            _short(row["origin"]) if width() else row["origin"],
        ]
        for row in rows
    ]
    lines = columns_of(shown, right=[2])
    if width() is None:
        lines = [f"{line}  {row['path']}" for line, row in zip(lines, rows, strict=True)]
    click.echo("\n".join(lines))
    if width() is not None:
        folders = dict.fromkeys(str(Path(row["path"]).parents[1]) for row in rows)
        click.echo("\n".join(f"in {folder}" for folder in folders))
    lost = [row for row in rows if row["state"] == "missing"]
    known = sum(row["origin"] == "published digest" for row in lost)
    if known:
        say(
            f"{plural(known, 'file')} missing: downloaded when first needed; or run `ldmbench"
            " weights import FILE`"
        )
    if len(lost) > known:
        say(
            f"{plural(len(lost) - known, 'file')} without a published digest: run `ldmbench weights"
            " import FILE --as NAME`"
        )


def _short(origin: object) -> str:
    """Return in a word or two whose word a digest is, for the width of a terminal."""
    words = str(origin).removesuffix(" digest").removeprefix("import with ")
    return words.replace(" by import", "")


def _advice(row: dict[str, object]) -> str:
    if row["state"] == "damaged":
        return f"error: {row['path']}: not the sha256 {row['sha256']}; remove it, fetch it again"
    if row["sha256"] is None:
        return (
            f"error: {row['name']}: {row['file']} is not imported; `ldmbench weights import FILE"
            f" --as {row['name']}` puts it at {row['path']}"
        )
    return (
        f"error: {row['name']}: {row['file']} (sha256 {row['sha256']}) is not at {row['path']};"
        " `ldmbench weights import FILE` puts it there"
    )
