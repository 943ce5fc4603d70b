"""Runs on disk: append, read, migrate, find; rebuilt from the store alone."""

import json
import shutil

import pytest
import tiny

from ldmbench.cli import outcome
from ldmbench.errors import InputError
from ldmbench.records.collect import collect_extras, collect_record
from ldmbench.records.first_stage import code_entropy
from ldmbench.records.reading import read_records
from ldmbench.records.runs import Runs
from ldmbench.schema.record import Record, Run
from ldmbench.schema.stage import Cell, Plan
from ldmbench.store.disk import Store


def cell(name="a"):
    return Cell(
        id=name, model="m", dataset="d", sampler="ddim", steps=1, eta=0, guidance=1, count=1
    )


def record(run="r", name="a", reason=None):
    return Record(run=run, cell=cell(name), status="failed" if reason else "done", reason=reason)


def test_of_several_records_for_one_cell_the_last_counts(tmp_path):
    all_runs = Runs(tmp_path)
    all_runs.append(record(reason="first"))
    all_runs.append(record(name="b"))
    all_runs.append(record())
    assert [(r.cell.id, r.status) for r in all_runs.records("r")] == [("a", "done"), ("b", "done")]


def test_a_newer_version_is_refused_with_advice(tmp_path):
    path = tmp_path / "records.jsonl"
    data = json.loads(record().model_dump_json())
    path.write_text(json.dumps({**data, "api_version": 2}))
    with pytest.raises(InputError, match=r"records.jsonl:1: api_version 2 is newer .* upgrade"):
        read_records(path)


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text(record().model_dump_json() + "\n{not json\n")
    with pytest.raises(InputError, match=r"records.jsonl:2: is damaged or no record"):
        read_records(path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(tmp_path, number):
    path = tmp_path / "records.jsonl"
    measure = {"name": "flops_per_image", "value": 0, "unit": "FLOP", "device": "cpu"}
    data = {**json.loads(record().model_dump_json()), "measures": [measure]}
    path.write_text(json.dumps(data).replace('"value": 0', f'"value": {number}'))
    with pytest.raises(InputError, match=rf"records.jsonl:1: .*{number} is no finite number"):
        read_records(path)


def test_foreign_folders_are_passed_over(tmp_path):
    all_runs = Runs(tmp_path)
    (all_runs.folder / "junk").mkdir(parents=True)
    (all_runs.folder / "junk" / "run.json").write_text("nonsense")
    assert all_runs.runs() == []
    assert list((tmp_path / "damaged").iterdir())
    all_runs.write_run(Run(id="x", suite="s", suite_digest="", state="done", started="1"))
    assert all_runs.find().id == "x"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A store with one run."""
    folder = tmp_path_factory.mktemp("measured")
    store = folder / "store"
    assert outcome(["run", str(tiny.write_suite(folder)), "--store", str(store), "--json"]) == 0
    return store


@pytest.fixture
def all_runs(measured, tmp_path):
    """A copy of it that a test may harm."""
    shutil.copytree(measured, tmp_path / "store")
    return Runs(tmp_path / "store")


def test_records_can_be_rebuilt_from_the_store_without_running_anything(measured):
    all_runs, store = Runs(measured), Store(measured)
    run = all_runs.find()
    plan = Plan.model_validate_json((all_runs.path(run.id) / "plan.json").read_text())
    again = [collect_record(c, plan, store, run=run.id) for c in plan.cells]
    assert again == all_runs.records(run.id)
    rebuilt = collect_extras(plan, store, pictures=all_runs.extras(run.id).pictures)
    assert rebuilt == all_runs.extras(run.id)
    assert rebuilt.curves["pixel/shapes denoiser"][-1].step == 3
    assert {p.title for p in rebuilt.pictures} == {"real/shapes", *(c.id for c in plan.cells)}


def _folder(file):
    file.unlink()
    file.mkdir()


def _link(file):
    file.unlink()
    file.symlink_to("/nonexistent/x")


HARM = {
    "cut": lambda f: f.write_bytes(f.read_bytes()[: f.stat().st_size * 2 // 3]),
    "empty": lambda f: f.write_bytes(b""),
    "utf8": lambda f: f.write_bytes(b"\xff" + f.read_bytes()),
    "deep": lambda f: f.write_bytes(b'{"a":' * 10_000),
    "edited": lambda f: f.write_bytes(f.read_bytes().replace(b"1", b"2")),
    "list": lambda f: f.write_bytes(b"[1]"),
    "folder": _folder,
    "link": _link,
}


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("name", ["records.jsonl", "extras.json", "pictures/"])
def test_what_is_damaged_of_a_run_is_rebuilt_from_the_store(all_runs, name, harm, caplog):
    run = all_runs.find().id
    before = all_runs.records(run), all_runs.extras(run)
    file = next((all_runs.path(run) / name).glob("*.png")) if name == "pictures/" else None
    file = file or all_runs.path(run) / name
    drawn = file.read_bytes()
    HARM[harm](file)
    assert (all_runs.records(run), all_runs.extras(run)) == before
    assert f"{file}: " in caplog.text
    assert "set aside in" in caplog.text
    assert name != "pictures/" or file.read_bytes() == drawn
    caplog.clear()
    assert (all_runs.records(run), all_runs.extras(run)) == before
    assert caplog.text == ""


def test_a_record_that_cannot_be_rebuilt_is_kept_if_it_is_whole(all_runs):
    run = all_runs.find().id
    first, second = all_runs.records(run)
    shutil.rmtree(all_runs.root / "scores")
    file = all_runs.path(run) / "records.jsonl"
    lines = file.read_text().splitlines()
    file.write_text(f"{lines[0]}\n{lines[1][:100]}")
    kept, lost = all_runs.records(run)
    assert kept == first
    assert (lost.cell, lost.status) == (second.cell, "failed")


@pytest.mark.parametrize("harm", [name for name in HARM if name != "edited"])
def test_a_damaged_run_is_rebuilt_of_its_plan_and_records(all_runs, harm, capsys):
    before = all_runs.find()
    HARM[harm](all_runs.path(before.id) / "run.json")
    assert outcome(["status", before.id, "--store", str(all_runs.root)]) == 0
    said = capsys.readouterr().err
    assert harm == "link" or "run.json" in said
    found = all_runs.find()
    for name in ("id", "suite", "suite_digest", "cells", "state"):
        assert getattr(found, name) == getattr(before, name)
    assert found.started[:16] == before.started[:16]


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "", "other"])
def test_a_run_has_the_name_of_its_folder(all_runs, name, caplog):
    before = all_runs.find()
    all_runs.write_run(before)
    file = all_runs.path(before.id) / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "id": name}))
    assert [run.id for run in all_runs.runs()] == [before.id]
    assert f"is the run.json of another run, {name!r}" in caplog.text


def test_a_damaged_run_without_a_plan_is_left_out_and_said_once(tmp_path, caplog):
    all_runs = Runs(tmp_path)
    all_runs.write_run(Run(id="x", suite="s", suite_digest="", state="done", started="1"))
    (all_runs.folder / "y").mkdir()
    (all_runs.folder / "y" / "run.json").write_bytes(b"\xff")
    assert [run.id for run in all_runs.runs()] == ["x"]
    assert "not UTF-8 text" in caplog.text
    assert "its run is left out" in caplog.text
    caplog.clear()
    assert [run.id for run in all_runs.runs()] == ["x"]
    assert caplog.text == ""


def test_what_is_rebuilt_makes_nothing_else_believed(all_runs, caplog):
    run = all_runs.find().id
    before = all_runs.extras(run)
    for name in ("extras.json", "records.jsonl"):
        HARM["edited"](all_runs.path(run) / name)
    all_runs.records(run)
    assert all_runs.extras(run) == before
    assert "extras.json: it does not have the digest" in caplog.text
    HARM["edited"](all_runs.path(run) / "plan.json")
    assert all_runs.extras(run) == before
    next((all_runs.path(run) / "pictures").iterdir()).write_bytes(b"")
    assert all_runs.extras(run) == before
    assert "plan.json: is damaged" in caplog.text


def test_a_run_that_is_copied_under_another_name_may_be_changed(all_runs):
    run = all_runs.find()
    shutil.copytree(all_runs.path(run.id), all_runs.path("copy"))
    all_runs.write_run(run.model_copy(update={"id": "copy"}))
    changed = [r.model_copy(update={"run": "copy", "scores": ()}) for r in all_runs.records(run.id)]
    all_runs.rewrite("copy", changed)
    assert all_runs.records("copy") == changed


def test_code_entropy():
    import numpy as np

    assert code_entropy(np.zeros((4, 2, 2), np.int64), 16) == 0
    assert code_entropy(np.arange(16).reshape(4, 2, 2), 16) == 4
