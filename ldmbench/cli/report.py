"""`ldmbench report`: records to pages, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ldmbench.cli.options import (
    complete_metrics,
    json_option,
    only_option,
    print_json,
    run_argument,
    say,
    store_option,
)
from ldmbench.cli.sides import chosen
from ldmbench.errors import InputError
from ldmbench.records.record_file import opened_run
from ldmbench.records.runs import write_output
from ldmbench.session.pages import rendered, write_figures

FORMATS = ("html", "markdown", "latex", "csv", "json")


@click.command()
@run_argument
@click.option("--format", "form", type=click.Choice(FORMATS), default="html", show_default=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file."
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Instead write every figure to DIR as SVG, PDF and PNG.",
)
@click.option(
    "--metrics",
    default="",
    metavar="M,...",
    help="Only these scores and measures, such as fid,throughput; all when unset.",
    shell_complete=complete_metrics,
)
@only_option
@store_option
@json_option
def report(
    run: str | None,
    form: str,
    output: Path | None,
    figures: Path | None,
    metrics: str,
    only: tuple[str, ...],
    store: Path,
    as_json: bool,
) -> None:
    """Render a RUN (the last one when unset) or a record file as a page, a table or figures.

    \b
    Examples:
      ldmbench report                           a page in the store; prints its path
      ldmbench report --format markdown         the comparative table, to stdout
      ldmbench report --format latex -o x.tex   for a paper
      ldmbench report paper.jsonl -o page.html  of records from elsewhere
      ldmbench report --figures figures/        each figure as SVG, PDF and PNG
      ldmbench report --format latex --metrics fid,throughput --only '*/ddim-50/*'
    """
    found, all_runs = opened_run(run, store)
    names = tuple(dict.fromkeys(filter(None, (name.strip() for name in metrics.split(",")))))
    records = chosen(all_runs.records(found.id), only) if only else None
    if figures is not None:
        if output is not None:
            raise InputError("--figures and -o are two things; call `ldmbench report` twice")
        files = write_figures(found, all_runs, figures, metrics=names, records=records)
        _print_paths(files, as_json=as_json)
        return
    if as_json and output is None:
        form = "json"
    elif output is None and form == "html":
        part = "-part" if names or only else ""  # the whole page is the run's, and stays
        output = store / "reports" / f"{found.id}{part}.html"
    text = rendered(found, all_runs, form, metrics=names, records=records)
    if output is None:
        click.echo(text, nl=False)
        return
    write_output(output, text)
    if as_json:
        print_json({"file": str(output)})
    else:
        click.echo(str(output))


def _print_paths(paths: Sequence[Path], *, as_json: bool) -> None:
    files = [str(path) for path in paths]
    if as_json:
        print_json(files)
        return
    for file in files:
        click.echo(file)
    if not files:
        say("no figure has anything to show; the page says why")
