"""`ldmbench report`: records to pages, tables and figures."""

from __future__ import annotations

from pathlib import Path

import click

from ldmbench.cli.options import json_option, print_json, run_argument, say, store_option
from ldmbench.errors import InputError
from ldmbench.records.book import Book, write_output
from ldmbench.records.loose import opened_run
from ldmbench.schema.record import Run
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
@store_option
@json_option
def report(
    run: str | None,
    form: str,
    output: Path | None,
    figures: Path | None,
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
    """
    found, book = opened_run(run, store)
    if figures is not None:
        if output is not None:
            raise InputError("--figures and -o are two things; call `ldmbench report` twice")
        _figures(found, book, figures, as_json=as_json)
        return
    if as_json and output is None:
        form = "json"
    elif output is None and form == "html":
        output = store / "reports" / f"{found.id}.html"
    text = rendered(found, book, form)
    if output is None:
        click.echo(text, nl=False)
        return
    write_output(output, text)
    if as_json:
        print_json({"file": str(output)})
    else:
        click.echo(str(output))


def _figures(run: Run, book: Book, folder: Path, *, as_json: bool) -> None:
    files = [str(path) for path in write_figures(run, book, folder)]
    if as_json:
        print_json(files)
        return
    for file in files:
        click.echo(file)
    if not files:
        say("no figure has anything to show; the page says why")
