"""A warm store after the code changed, through the door, with the real change: never a pass."""

import json
import shutil

import pytest
import tiny

from ldmbench.cli import outcome
from ldmbench.store import machine


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A copy of the package, of which artefacts say that it made them."""
    place = tmp_path / "ldmbench"
    shutil.copytree(machine.PACKAGE, place, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(machine, "PACKAGE", place)
    machine.code_digest.cache_clear()
    yield place
    machine.code_digest.cache_clear()


@pytest.fixture
def typed(capsys):
    """Run ldmbench as a process that reads the code anew; return exit code, stdout and stderr."""

    def run(*words):
        machine.code_digest.cache_clear()
        result = outcome([*map(str, words)])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return result, told.out, told.err

    return run


@pytest.mark.slow
def test_code_that_changed_under_a_warm_store_is_never_a_pass(tmp_path, code, typed):
    """Accept, change code of a cell and beneath it, run on the warm store: stale until anew."""
    store, base = tmp_path / "store", tmp_path / "base.json"
    suite = tiny.write_suite(tmp_path)
    at, against = ("--store", store), ("--baseline", base, "--noise", "note")
    assert typed("run", suite, *at)[0] == 0
    assert typed("accept", *at, "-o", base)[0] == 0
    assert typed("gate", *at, *against)[0] == 0

    for module, kind in (("features/extractor.py", "features"), ("models/denoiser.py", "denoiser")):
        file = code / module
        file.write_text(file.read_text() + "\n# another line\n")
        told = typed("gate", *at, *against, "--json")  # the same run, the changed code
        assert told[0] == 2
        found = json.loads(told[1])
        assert {item["verdict"] for item in found["items"]} == {"incomparable"}
        assert all(f"--fresh {kind}" in item["reason"] for item in found["items"])

    again = typed("run", suite, *at)
    assert again[0] == 0
    assert "--fresh denoiser --fresh features" in again[2]
    assert typed("gate", *at, *against)[0] == 2
    assert typed("accept", *at, "-o", tmp_path / "other.json")[0] == 2

    kinds = sorted({part.split()[0] for part in found["items"][0]["reason"].split("--fresh ")[1:]})
    fresh = [word for kind in kinds for word in ("--fresh", kind.strip("`"))]
    assert typed("run", suite, *at, *fresh)[0] == 0
    assert typed("gate", *at, *against)[0] == 0
