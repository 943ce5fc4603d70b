"""What people see: 80 columns, colour on a terminal alone, plain text in a pipe."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from ldmbench.cli import terminal
from ldmbench.cli.options import inert

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def seen(*arguments, columns=80, **environment):
    """Return what a command writes to a terminal of some columns, and its exit code."""
    leader, follower = pty.openpty()
    settings = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color", **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "ldmbench", *arguments], stdin=follower, stdout=follower,
        stderr=follower, env=settings, close_fds=True,
    )  # fmt: skip
    os.close(follower)
    text = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # how Linux says that the other side is closed
            break
        if not part:
            break
        text += part
    os.close(leader)
    return text.decode().replace("\r\n", "\n"), process.wait()


@pytest.mark.parametrize(
    "arguments",
    [("list", "protocols"), ("list", "metrics"), ("doctor",), ("weights", "list"), ("--help",)],
    ids=" ".join,
)
def test_no_line_is_wider_than_the_terminal(arguments, tmp_path):
    text, _ = seen(*arguments, LDMBENCH_STORE=str(tmp_path), LDMBENCH_WEIGHTS="/weights")
    paths = ("in /", "ok      store")
    wide = [line for line in text.splitlines() if len(line) > 80 and not line.startswith(paths)]
    assert wide == []


def test_an_error_is_red_on_a_terminal_unless_no_color(tmp_path):
    coloured, code = seen("report", "none.jsonl")
    assert code == 2
    assert COLOUR.search(coloured)
    plain, _ = seen("report", "none.jsonl", NO_COLOR="1")
    assert not COLOUR.search(plain)
    assert COLOUR.sub("", coloured) == plain
    piped = subprocess.run(
        [sys.executable, "-m", "ldmbench", "report", "none.jsonl"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "\x1b" not in piped.stderr


def test_long_texts_go_on_below_their_beginning(monkeypatch):
    monkeypatch.setattr(terminal, "width", lambda stream=None: 40)
    told = terminal.listed({"name": "word " * 20, "longer": "short"}).splitlines()
    assert all(len(line) <= 40 for line in told)
    assert all(line.startswith(" " * 8) for line in told[1:-1])
    assert terminal.fitted("warning: " + "word " * 20).splitlines()[1].startswith("  word")
    monkeypatch.setattr(terminal, "width", lambda stream=None: None)
    assert len(terminal.listed({"name": "word " * 20}).splitlines()) == 1


def test_columns_are_as_wide_as_they_need_to_be():
    assert terminal.columns_of([["a", "1"], ["bb", "10"]], right=[1]) == ["a    1", "bb  10"]


def test_names_cannot_move_the_cursor():
    assert "\x1b" not in inert("a\x1b[2Jb")
