"""The book of runs: append, read, migrate, find; rebuilt from the store alone."""

import json

import pytest
import tiny

from ldmbench.cli import outcome
from ldmbench.errors import InputError
from ldmbench.records.book import Book, read_records
from ldmbench.records.collect import collect_extras, collect_record
from ldmbench.records.first_stage import code_entropy
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
    book = Book(tmp_path)
    book.append(record(reason="first"))
    book.append(record(name="b"))
    book.append(record())
    assert [(r.cell.id, r.status) for r in book.records("r")] == [("a", "done"), ("b", "done")]


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
    book = Book(tmp_path)
    (book.folder / "junk").mkdir(parents=True)
    (book.folder / "junk" / "run.json").write_text("nonsense")
    assert book.runs() == []
    book.write_run(Run(id="x", suite="s", suite_digest="", state="done", started="1"))
    assert book.find().id == "x"


def test_records_can_be_rebuilt_from_the_store_without_running_anything(tmp_path):
    store = tmp_path / "store"
    assert outcome(["run", str(tiny.write_suite(tmp_path)), "--store", str(store), "--json"]) == 0
    book = Book(store)
    run = book.find()
    plan = Plan.model_validate_json((book.path(run.id) / "plan.json").read_text())
    again = [collect_record(c, plan, Store(store), run=run.id) for c in plan.cells]
    assert again == book.records(run.id)
    rebuilt = collect_extras(plan, Store(store), pictures=book.extras(run.id).pictures)
    assert rebuilt == book.extras(run.id)
    assert rebuilt.curves["pixel/shapes denoiser"][-1].step == 3
    assert {p.title for p in rebuilt.pictures} == {"real/shapes", *(c.id for c in plan.cells)}


def test_code_entropy():
    import numpy as np

    assert code_entropy(np.zeros((4, 2, 2), np.int64), 16) == 0
    assert code_entropy(np.arange(16).reshape(4, 2, 2), 16) == 4
