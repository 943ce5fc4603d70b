"""Locales that lack letters: nothing that is said stops a command, and file names keep theirs."""

from __future__ import annotations

import io
import json
import os
import queue
import sys
from types import SimpleNamespace

import pytest

from ldmbench import cli
from ldmbench.cli.options import print_json
from ldmbench.execute import worker

TEXT = "FID ≈ 4, 猫, läßt"


def sent(encoding, errors):
    """Return what a reader gets of text that is printed to a pipe of some encoding."""
    out, into = os.pipe()
    with os.fdopen(into, "w", encoding=encoding, errors=errors) as stream:
        patient = cli._patient(stream)
        patient.write(TEXT)
        patient.flush()
    with os.fdopen(out, "rb") as reader:
        return reader.read()


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "iso8859-15", "utf-8"])
def test_what_an_encoding_lacks_is_written_as_a_number(encoding, errors):
    taken = "utf-8" if encoding == "ascii" else encoding
    assert sent(encoding, errors) == TEXT.encode(taken, "backslashreplace")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_json_stays_whole_in_any_encoding(encoding, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    monkeypatch.setattr(sys, "stdout", stream)
    print_json({"question": TEXT})
    stream.flush()
    assert json.loads(stream.buffer.getvalue().decode(encoding)) == {"question": TEXT}


@pytest.mark.parametrize(("names", "mode", "anew"), [
    ("ascii", 0, True), ("ascii", 1, False), ("iso8859-15", 0, False), ("utf-8", 0, False),
])  # fmt: skip
def test_where_file_names_are_ascii_python_begins_anew(names, mode, anew, monkeypatch):
    begun = []
    monkeypatch.setattr(os, "execve", lambda *told: begun.append(told))
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: names)
    monkeypatch.setattr(sys, "flags", SimpleNamespace(utf8_mode=mode))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "ldmbench", "status"])
    cli._speak_unicode()
    assert bool(begun) == anew
    for program, command, environment in begun:
        assert command == [program, "-X", "utf8", "-m", "ldmbench", "status"]
        assert environment["PYTHONUTF8"] == "1"


def test_a_worker_reads_its_tasks_as_utf_8(monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(f"{TEXT}\n".encode()), encoding="cp1252")
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(worker.os, "_exit", lambda code: None)
    lines = queue.Queue()
    worker._listen(lines)
    assert lines.get_nowait() == f"{TEXT}\n"
