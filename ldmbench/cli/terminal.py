"""The terminal: how wide it is, whether it has colours, and tables that fit it."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TextIO

import click

__all__ = ["columns_of", "fitted", "listed", "tinted", "width"]

NARROWEST = 40


def tinted(text: str, colour: str) -> str:
    """Return the text in a colour, unless NO_COLOR is set; pipes lose it when it is printed."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour)


def width(stream: TextIO | None = None) -> int | None:
    """Return the columns of the terminal that a stream (stdout) is; None for a pipe or a file."""
    if not (stream or sys.stdout).isatty():
        return None
    return max(shutil.get_terminal_size().columns, NARROWEST)


def fitted(text: str, stream: TextIO | None = None) -> str:
    """Return lines broken between words where the terminal ends; as they are for a pipe."""
    wide = width(stream)
    if wide is None:
        return text
    told = [
        textwrap.fill(
            line,
            wide,
            initial_indent=line[: len(line) - len(line.lstrip())],
            subsequent_indent=" " * (len(line) - len(line.lstrip()) + 2),
            break_long_words=False,
            break_on_hyphens=False,
        )
        if len(line) > wide
        else line
        for line in text.splitlines()
    ]
    return "\n".join(told)


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


def columns_of(
    rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), gap: int = 2
) -> list[str]:
    """Return lines whose columns are as wide as their widest cell.

    Args:
        rows: cells of text, as many in each row.
        right: the columns that are set flush right.
        gap: spaces between columns.
    """
    if not rows:
        return []
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            f"{cell:>{size}}" if place in right else f"{cell:<{size}}"
            for place, (cell, size) in enumerate(zip(row, sizes, strict=True))
        ]
        lines.append((" " * gap).join(cells).rstrip())
    return lines
