"""The terminal: what it obeys, how wide it is, whether it has colours, and tables that fit it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import click

__all__ = [
    "Inert",
    "columns_of",
    "drawing",
    "fitted",
    "in_json",
    "inert",
    "legible",
    "listed",
    "say_tinted",
    "width",
]

NARROWEST = 40
OBEYED_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories that move, colour or turn what stands around them, or are no text."""
JOINERS = "\u200c\u200d"
"""Of these categories, but part of words and of emoji."""
_PLAIN = re.compile(r"[^ -~\xa0-\xac\xae-\xff]")
"""Whatever may be heeded; nearly all text is passed by."""
_IN_LINES = re.compile(r"\r\n|[^ -~\n\t\xa0-\xac\xae-\xff]")


def _is_obeyed(sign: str) -> bool:
    return sign not in JOINERS and unicodedata.category(sign) in OBEYED_CATEGORIES


def inert(text: str) -> str:
    """Return a name without what a terminal would obey: control characters and turned script."""
    return _PLAIN.sub(lambda found: "�" if _is_obeyed(found[0]) else found[0], text)


def legible(text: str) -> str:
    """Return lines of text, inert each."""
    return "\n".join(inert(line) for line in text.splitlines())


def in_json(text: str) -> str:
    """Return JSON whose strings hold the same, what a terminal would obey escaped."""
    return _IN_LINES.sub(lambda found: _escaped(found[0]), text)


def _escaped(found: str) -> str:
    return json.dumps(found)[1:-1] if len(found) == 1 and _is_obeyed(found) else found


class Inert(io.TextIOWrapper):
    """A stream of text to a person: a terminal obeys nothing of it but the ends of lines.

    Every command writes through one, so no name, path or message of others moves the cursor.
    """

    def write(self, text: str) -> int:
        """Write text, inert."""
        return super().write(_IN_LINES.sub(lambda found: _in_line(found[0]), text))

    def draw(self, text: str) -> int:
        """Write what the program itself sends to a terminal: a colour, a bar."""
        return super().write(text)


def _in_line(found: str) -> str:
    return "�" if len(found) == 1 and _is_obeyed(found) else found


class _Drawing:
    """The same stream, for what the program itself sends to a terminal."""

    def __init__(self, stream: Inert) -> None:
        self._stream = stream
        self.write = stream.draw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def drawing(stream: object) -> Any:
    """Return a stream for colours and bars; names that go there must be inert."""
    return _Drawing(stream) if isinstance(stream, Inert) else stream


def say_tinted(label: str, colour: str, text: str) -> None:
    """Print a line to stderr; its label has a colour on a terminal, unless NO_COLOR is set."""
    shown = fitted(f"{label} {text}", sys.stderr).removeprefix(label)
    coloured = label if os.environ.get("NO_COLOR") else click.style(label, fg=colour)
    click.echo(coloured, file=drawing(sys.stderr), nl=False)
    click.echo(shown, file=sys.stderr)


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
    shown = [
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
    return "\n".join(shown)


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
