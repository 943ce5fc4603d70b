"""The script for a borrowed GPU: its parts end within eight minutes, and their suites are valid."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "on_a_gpu.sh"


def run(*words):
    environment = {**os.environ, "PYTHON": sys.executable}
    command = ["bash", str(SCRIPT), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_parts_end_within_eight_minutes():
    """Ten seconds more for each that does not end by itself."""
    done = run("--list")
    assert done.returncode == 0, done.stderr
    parts = dict(line.split("\t") for line in done.stdout.splitlines())
    assert [*parts] == ["machine", "doctor", "tests", "quickstart", "bench", "sweep"]
    assert sum(int(seconds) + 10 for seconds in parts.values()) <= 480


@pytest.mark.slow
def test_without_a_gpu_the_parts_are_checked(tmp_path):
    asked = ("machine", "doctor", "quickstart", "bench", "sweep")
    done = run("--dry", tmp_path / "out", *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("\t") for line in (tmp_path / "out/results.tsv").read_text().splitlines()]
    assert [row[:2] for row in rows] == [["part", "code"], *([part, "0"] for part in asked)]
    assert '"built_for"' in (tmp_path / "out/machine.json").read_text()
    assert "ldm/shapes/ddim-20" in (tmp_path / "out/sweep.txt").read_text()


def test_what_is_no_part_is_refused(tmp_path):
    done = run("--dry", tmp_path / "out", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no part 'nothing'; there are: machine doctor tests" in done.stderr
    assert not (tmp_path / "out").exists()
    done = run("--wrong")
    assert done.returncode == 2
    assert "--dry" in done.stderr


def test_a_part_that_fails_is_told(tmp_path):
    environment = {**os.environ, "PYTHON": "false"}
    command = ["bash", str(SCRIPT), "--dry", str(tmp_path / "out"), "machine", "bench"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    rows = [line.split("\t") for line in (tmp_path / "out/results.tsv").read_text().splitlines()]
    assert [row[0] for row in rows] == ["part", "machine", "bench"]
    assert rows[2][1] == "1"
