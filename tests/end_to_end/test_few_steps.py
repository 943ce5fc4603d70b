"""The example of a few-step model: trained for a moment, measured by evaluations."""

import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from ldmbench.cli import outcome
from ldmbench.errors import SuiteError
from ldmbench.plan.build import build_plan
from ldmbench.records.runs import Runs
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

EXAMPLE = Path("examples/consistency")
SMALL = [
    "sample.count=16", "data.shapes.reference=32", "sample.micro_batch=8", "metrics=[fid]",
    "speed={batch: 2, repeats: 2}", "mlflow={enabled: false}", "sample.steps=[1, 2]",
]  # fmt: skip


@pytest.fixture
def example(tmp_path):
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("*.pt", "__pycache__"))
    return folder / "suite.yaml"


@pytest.mark.slow
def test_the_example_trains_and_runs(example, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as patched:
        patched.syspath_prepend(example.parent)
        patched.setattr(sys, "argv", ["train.py", "--steps", "2", "--images", "64"])
        runpy.run_path(str(example.with_name("train.py")), run_name="__main__")
        patched.delitem(sys.modules, "meanflow")
    sets = [part for change in SMALL for part in ("--set", change)]
    assert outcome(["run", str(example), "--store", str(tmp_path / "s"), *sets]) == 0
    runs = Runs(tmp_path / "s")
    records = runs.records(runs.find().id)
    assert {(r.cell.model, r.cell.steps) for r in records} == {
        (model, steps) for model in ("meanflow", "untrained") for steps in (1, 2)
    }
    for record in records:
        assert record.cell.step_unit == "evaluations"
        assert record.scores[0].value is not None
        measures = {m.name: m.value for m in record.measures}
        assert measures["evaluations"] == record.cell.steps
    capsys.readouterr()
    assert outcome(["report", "--store", str(tmp_path / "s"), "--format", "markdown"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"\| Model +\| Evaluations", shown)
    assert "Steps" not in shown


def test_what_steps_count_is_read_and_not_run(example):
    example.with_name("weights.pt").write_bytes(b"?")
    plan = build_plan(load_suite(example, SMALL))
    assert {cell.step_unit for cell in plan.cells} == {"evaluations"}
    source = example.with_name("meanflow.py")
    source.write_text(source.read_text().replace('STEPS = "evaluations"', 'STEPS = "asked"'))
    with pytest.raises(SuiteError, match="is none of 'steps', 'evaluations'"):
        check_suite(load_suite(example, SMALL))


def test_untrained_weights_are_refused_before_anything_runs(example, capsys):
    assert outcome(["plan", str(example), "--json"]) == 2
    assert "found 'weights.pt', which is not a file" in capsys.readouterr().err
