"""A warm store after the code changed, through the door, with the real change: never a pass."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

PACKAGE = Path(__file__).parents[2] / "ldmbench"


def typed(place, *words):
    """Run ldmbench from a folder that holds the package; return exit code, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "ldmbench", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_code_that_changed_under_a_warm_store_is_never_a_pass(tmp_path):
    """Accept, change code of a cell and beneath it, run on the warm store: stale until anew."""
    place, store, base = tmp_path / "code", tmp_path / "store", tmp_path / "base.json"
    shutil.copytree(PACKAGE, place / "ldmbench", ignore=shutil.ignore_patterns("__pycache__"))
    suite = tiny.write_suite(tmp_path)
    at, against = ("--store", store), ("--baseline", base, "--noise", "note")
    assert typed(place, "run", suite, *at)[0] == 0
    assert typed(place, "accept", *at, "-o", base)[0] == 0
    assert typed(place, "gate", *at, *against)[0] == 0

    for module, kind in (("features/extractor.py", "features"), ("models/denoiser.py", "denoiser")):
        code = place / "ldmbench" / module
        code.write_text(code.read_text() + "\n# another line\n")
        told = typed(place, "gate", *at, *against, "--json")  # the same run, the changed code
        assert told[0] == 2
        found = json.loads(told[1])
        assert {item["verdict"] for item in found["items"]} == {"incomparable"}
        assert all(f"--fresh {kind}" in item["reason"] for item in found["items"])

    again = typed(place, "run", suite, *at)
    assert again[0] == 0
    assert "--fresh denoiser --fresh features" in again[2]
    assert typed(place, "gate", *at, *against)[0] == 2
    assert typed(place, "accept", *at, "-o", tmp_path / "other.json")[0] == 2

    kinds = sorted({part.split()[0] for part in found["items"][0]["reason"].split("--fresh ")[1:]})
    fresh = [word for kind in kinds for word in ("--fresh", kind.strip("`"))]
    assert typed(place, "run", suite, *at, *fresh)[0] == 0
    assert typed(place, "gate", *at, *against)[0] == 0
