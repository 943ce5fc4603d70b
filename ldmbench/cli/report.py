"""`ldmbench report`: records to pages and tables."""

from __future__ import annotations

from pathlib import Path

import click

from ldmbench.cli.options import json_option, run_argument, store_option
from ldmbench.cli.outlets import rendered
from ldmbench.records.book import Book, write_text

FORMATS = ("html", "markdown", "latex", "csv", "json")


@click.command()
@run_argument
@click.option("--format", "form", type=click.Choice(FORMATS), default="html", show_default=True)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file."
)
@store_option
@json_option
def report(run: str | None, form: str, output: Path | None, store: Path, as_json: bool) -> None:
    """Render a RUN (the last one when unset) as a page or a table.

    \b
    Examples:
      ldmbench report                              a page in the store; prints its path
      ldmbench report --format markdown            the comparative table, to stdout
      ldmbench report --format latex -o table.tex  for a paper
    """
    book = Book(store)
    found = book.find(run)
    text = rendered(found, book, "json" if as_json else form)
    if output is None and form == "html" and not as_json:
        output = store / "reports" / f"{found.id}.html"
    if output is None:
        click.echo(text)
        return
    write_text(output, text)
    click.echo(str(output))
