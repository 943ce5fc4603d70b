"""The terminal: how wide it is, whether it has colours, and tables that fit it."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence

import click

__all__ = ["columns_of", "listed", "tinted", "width"]

NARROWEST = 40


def tinted(text: str, colour: str) -> str:
    """Return the text in a colour, unless NO_COLOR is set; pipes lose it when it is printed."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour)


def width() -> int | None:
    """Return the columns of the terminal that stdout is; None when it is a pipe or a file."""
    if not sys.stdout.isatty():
        return None
    return max(shutil.get_terminal_size().columns, NARROWEST)


def listed(rows: Mapping[str, str]) -> str:
    """Return a name and a text a row; on a terminal a long text goes on below its beginning."""
    names, wide = max(map(len, rows), default=0), width()
    lines = []
    for name, text in rows.items():
        room = (wide or 0) - names - 2
        parts = textwrap.wrap(text, room) if room >= NARROWEST // 2 else [text]
        labels = [name, *[""] * len(parts)]
        lines += [f"{label:<{names}}  {part}" for label, part in zip(labels, parts, strict=False)]
    return "\n".join(line.rstrip() for line in lines)


def columns_of(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Return lines whose columns are as wide as their widest cell.

    Args:
        rows: cells of text, as many in each row.
        right: the columns that are set flush right.
    """
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            f"{cell:>{size}}" if place in right else f"{cell:<{size}}"
            for place, (cell, size) in enumerate(zip(row, sizes, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
