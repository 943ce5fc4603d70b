"""`ldmbench export`: a model that a suite trained, as a folder that other programs load."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ldmbench.cli.options import Real, complete_runs, json_option, print_json, store_option
from ldmbench.records.record_file import opened_run
from ldmbench.session.export import export_cell


@click.command()
@click.argument("cell")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--run", metavar="RUN", help="Its run; the last one.", shell_complete=complete_runs)
@click.option("--raw", is_flag=True, help="Weights without averaging, in place of averaged ones.")
@click.option(
    "--checkpoint",
    type=Real(0, 1),
    metavar="SHARE",
    help="Weights kept at this share of the training budget; unset: those of the cell's samples.",
)
@store_option
@json_option
def export(
    cell: str,
    out: Path,
    run: str | None,
    raw: bool,
    checkpoint: float | None,
    store: Path,
    as_json: bool,
) -> None:
    """Write the model that was trained for CELL to the folder OUT.

    CELL is a cell's id, or a glob that cells of one model match. OUT is a diffusers folder:
    ldmbench.load, `ldmbench convert` and `kind: load` of a suite take it, and diffusers itself
    where it has a pipeline for the model. It appears only when it has been read back and agrees.
    A first stage that was trained without a denoiser becomes a folder of AutoencoderKL or VQModel.

    \b
    Examples:
      ldmbench export 'ldm[f=4]/shapes/*' ./ldm-f4
      ldmbench export 'ldm[f=4]/shapes/*' ./half --checkpoint 0.5 --raw
    """
    found = export_cell(*opened_run(run, store), cell, out, raw=raw, checkpoint=checkpoint)
    if as_json:
        fields = asdict(found) | {"folder": str(found.folder), "loaders": found.loaders}
        print_json(fields)
        return
    click.echo(str(found.folder))
    kept = f" {found.weights} weights at {found.checkpoint:g} of the budget,"
    click.echo(
        f"{found.cell},{'' if found.alone else kept} {found.parameters:,} parameters:"
        f" {found.loaders}",
        err=True,
    )
