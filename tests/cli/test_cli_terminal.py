"""What people see: 80 columns, colour on a terminal alone, plain text in a pipe."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys

import tiny

from ldmbench.cli import outcome, terminal
from ldmbench.cli.options import (
    typed,
)
from ldmbench.cli.run import _say_warnings, _say_where
from ldmbench.cli.terminal import inert
from ldmbench.records.runs import Runs
from ldmbench.schema.record import Record, Run
from ldmbench.schema.stage import Cell

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


EACH = "import sys; from ldmbench.cli import outcome; [outcome(a.split()) for a in sys.argv[1:]]"
"""A program that runs one command after the other."""


def seen(*arguments, columns=80, program=("-m", "ldmbench"), **environment):
    """Return what a command writes to a terminal of some columns, and its exit code."""
    leader, follower = pty.openpty()
    settings = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color", **environment}
    process = subprocess.Popen(
        [sys.executable, *program, *arguments], stdin=follower, stdout=follower,
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


def test_no_line_is_wider_than_the_terminal(tmp_path):
    commands = ("list protocols", "list metrics", "doctor", "weights list", "--help")
    places = {"LDMBENCH_STORE": str(tmp_path), "LDMBENCH_WEIGHTS": "/weights"}
    text, _ = seen(*commands, program=("-c", EACH), **places)
    assert all(word in text for word in ("shapes-v1", "Fréchet", "torch", "inception", "Usage"))
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


HOSTILE = "\x1b]0;x\x07"


def obeys_nothing(capsys):
    """Return what was printed, which moves, colours and names no terminal."""
    shown = "".join(capsys.readouterr())
    assert not set(shown) & {"\x1b", "\x07"}
    assert "]0;x\ufffd" in shown
    return shown


def test_plan_is_obeyed_by_no_terminal(tmp_path, capsys):
    suite = tiny.SUITE.replace("  pixel:", '  "\\x1b]0;x\\x07":')
    assert outcome(["plan", str(tiny.write_suite(tmp_path, suite)), "--explain"]) == 0
    shown = obeys_nothing(capsys)
    assert "\ufffd]0;x\ufffd/shapes/ddim-2/g1/s0\n" in shown
    assert "denoiser \ufffd]0;x\ufffd" in shown


def test_run_and_status_are_obeyed_by_no_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LDMBENCH_MLFLOW", "0")
    all_runs = Runs(tmp_path)
    run = Run(id="a", suite="a", suite_digest="", state="failed", started="2026-01-01T00:00:00")
    cell = Cell(
        id=f"{HOSTILE}/shapes", model=HOSTILE, dataset="shapes", sampler="ddim", steps=4, eta=0.0,
        guidance=1.0, count=64,
    )  # fmt: skip
    reason = f"{HOSTILE}\nsecond line"
    record = Record(run="a", cell=cell, status="failed", reason=reason, warnings=(HOSTILE,))
    all_runs.write_run(run)
    all_runs.rewrite("a", [record])
    _say_warnings([record])
    obeys_nothing(capsys)
    _say_where(run, all_runs, tmp_path / "page.html", note="", failed=[record])
    assert "]0;x\ufffd\nsecond line\n" in obeys_nothing(capsys)
    assert outcome(["status", "--store", str(tmp_path)]) == 0
    assert "]0;x\ufffd\nsecond line\n" in obeys_nothing(capsys)


def test_a_reader_that_goes_away_changes_no_exit_code():
    for words, code in ((["list", "metrics"], 0), (["report", "none.jsonl"], 2)):
        process = subprocess.Popen(
            [sys.executable, "-m", "ldmbench", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        process.stdout.close()
        assert process.wait() == code


def test_the_next_command_names_the_store_that_is_meant(monkeypatch, tmp_path):
    monkeypatch.setenv("LDMBENCH_STORE", str(tmp_path))
    assert typed("report", "a b", store=tmp_path) == "ldmbench report 'a b'"
    assert typed("status", store=tmp_path / "other").endswith(f"--store {tmp_path / 'other'}")


def test_whatever_a_command_writes_is_obeyed_by_no_terminal(tmp_path):
    told = "\x1b]0;x\x07 \x9b2J \u202eabc \u2028 \x7f\r\ud800 caf\u00e9 \u200d ok\tend\r\n"
    raw = io.BytesIO()
    stream = terminal.Inert(raw, encoding="utf-8", newline="")
    stream.write(told)
    terminal.drawing(stream).write("\x1b[31m")
    stream.flush()
    shown = raw.getvalue().decode()
    assert shown == "�]0;x� �2J �abc � ��� café \u200d ok\tend\r\n\x1b[31m"
    assert json.loads(terminal.in_json(json.dumps([told], ensure_ascii=False))) == [told]
    assert terminal.in_json("\x9b\u202e\ud800") == "\\u009b\\u202e\\ud800"
    # a kind that a suite says, through the door, on a pipe and on a terminal
    suite = tiny.SUITE.replace("kind: shapes", 'kind: "\\x1b]0;x\\x07\\x9b2J\\u202e"')
    file = str(tiny.write_suite(tmp_path, suite))
    text, code = seen("plan", file)
    assert code == 2
    assert "unknown kind" in " ".join(text.split())
    assert not set(COLOUR.sub("", text)) & set("\x1b\x07\x9b\u202e")
