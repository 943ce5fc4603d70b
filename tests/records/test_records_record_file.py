"""A record file is a run that lies in no store."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))  # fake_records lives there
from fake_records import fake

from ldmbench.cli import outcome
from ldmbench.records.record_file import opened_run
from ldmbench.schema.baseline import Baseline

SMALL = {"downsampling": (1, 4), "steps": (10,), "datasets": ("shapes",), "side": 8}


@pytest.fixture
def file(tmp_path):
    """A record file as it is kept beside a paper: away from its run."""
    fake(tmp_path / "made", **SMALL)
    return (tmp_path / "made" / "records.jsonl").rename(tmp_path / "paper.jsonl")


def test_a_file_is_a_run_without_a_store(file, tmp_path):
    run, all_runs = opened_run(str(file), tmp_path / "store")
    assert run.id == "downsampling_sweep-20260102T030405-ab12"
    assert run.cells == tuple(r.cell.id for r in all_runs.records(run.id))
    assert not (tmp_path / "store").exists()


def test_a_file_in_its_folder_brings_the_run(tmp_path):
    run, _, extras = fake(tmp_path / "made", **SMALL)
    folder = tmp_path / "store" / "runs" / run.id
    folder.parent.mkdir(parents=True)
    (tmp_path / "made").rename(folder)
    found, all_runs = opened_run(str(folder / "records.jsonl"), tmp_path / "elsewhere")
    assert found == run
    assert all_runs.extras(run.id) == extras


def test_a_run_id_cannot_name_a_place(file, tmp_path, monkeypatch, capsys):
    text = file.read_text()
    file.write_text(text.replace('"run":"downsampling_sweep', '"run":"../../up/downsampling_sweep'))
    assert outcome(["report", str(file), "--store", str(tmp_path / "a" / "b" / "store")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "a/b/store/reports/paper.html")


@pytest.mark.parametrize("form", ["html", "markdown", "latex", "csv", "json"])
def test_report_writes_every_format_of_a_file(file, tmp_path, form):
    out = tmp_path / "out"
    assert outcome(["report", str(file), "--format", form, "-o", str(out)]) == 0
    assert "f=4" in out.read_text()


def test_status_tells_the_cells_of_a_file(file, tmp_path, capsys):
    assert outcome(["status", str(file), "--store", str(tmp_path / "store")]) == 0
    assert "2 of 2 cells done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.jsonl", None, "no such record file"),
        ("cut.jsonl", "{", "cut.jsonl:1: is damaged"),
        ("empty.jsonl", "", "has no record"),
        ("suite.yaml", "suite: x", "ldmbench run"),
        ("baseline.json", "{\n}", "is no record file"),
        ("folder", ..., "is a folder"),
    ],
)
@pytest.mark.parametrize("command", ["report", "status", "gate", "accept", "compare"])
def test_what_is_no_record_file_is_said_in_a_sentence(
    tmp_path, monkeypatch, capsys, command, name, text, message
):
    monkeypatch.chdir(tmp_path)
    more = {"compare": [name], "accept": ["-o", "new.json"], "gate": ["--baseline", "base.json"]}
    Path("base.json").write_text(Baseline(suite="x").model_dump_json())
    if text is ...:
        Path(name).mkdir()
    elif text is not None:
        Path(name).write_text(text)
    assert outcome([command, name, *more.get(command, [])]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1
