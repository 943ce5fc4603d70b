"""The house stays clean: ruff, its format, and strict types."""

import subprocess
import sys

import pytest

PLACES = ("ldmbench", "tests", "scripts")


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff(command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, *PLACES],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.slow
def test_types():
    command = [sys.executable, "-m", "mypy", "-p", "ldmbench"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
