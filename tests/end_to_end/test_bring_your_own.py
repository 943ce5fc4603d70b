"""The worked example of docs/extending.md, run; and what is said when it is wrong."""

import json
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from ldmbench.cli import outcome
from ldmbench.errors import SuiteError
from ldmbench.plan.build import build_plan
from ldmbench.records.runs import Runs
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

pytestmark = pytest.mark.slow

EXAMPLE = Path("examples/bring_your_own")
SMALL = [
    "sample.count=16", "data.shapes.reference=32", "sample.micro_batch=8", "metrics=[fid]",
    "speed={batch: 2, repeats: 2}", "mlflow={enabled: false}",
]  # fmt: skip


@pytest.fixture
def example(tmp_path):
    return Path(shutil.copytree(EXAMPLE, tmp_path / "example")) / "suite.yaml"


def keys(suite, *sets):
    plan = build_plan(load_suite(suite, sets))
    return {s.kind: s.key for s in plan.stages if s.kind in ("denoiser", "samples")}


def test_the_worked_example_runs(example, tmp_path):
    sets = [part for change in SMALL for part in ("--set", change)]
    assert outcome(["run", str(example), "--store", str(tmp_path / "s"), *sets]) == 0
    all_runs = Runs(tmp_path / "s")
    records = all_runs.records(all_runs.find().id)
    assert [r.cell.id for r in records] == ["blobs/shapes/own-5/g1/s0", "blobs/shapes/own-50/g1/s0"]
    for record in records:
        assert record.scores[0].value is not None
        measures = {m.name: m for m in record.measures}
        assert measures["throughput"].value > 0
        assert measures["evaluations"].value is None
        assert measures["evaluations"].reason
    assert records[0].scores[0].value != records[1].scores[0].value


def test_the_key_follows_source_options_and_files(example):
    before = keys(example)
    assert keys(example) == before
    assert keys(example, "models.blobs.options.count=2") != before
    weights = example.with_name("w.bin")
    weights.write_bytes(b"1")
    with_file = keys(example, "models.blobs.files=[w.bin]")
    weights.write_bytes(b"2")
    assert keys(example, "models.blobs.files=[w.bin]") != with_file != before
    source = example.with_name("blobs.py")
    source.write_text(source.read_text() + "\nMORE = 1\n")
    assert keys(example) != before


def test_where_it_lies_is_no_part_of_the_key(example, tmp_path):
    there = Path(shutil.copytree(example.parent, tmp_path / "there")) / "suite.yaml"
    assert keys(example) == keys(there)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("models.blobs.target='blob:Blobs'", "there is no module 'blob'"),
        ("models.blobs.target='blobs:Blob'", "defines no 'Blob' (did you mean 'Blobs'?)"),
        ("models.blobs.target=nothing", "or an entry point of group ldmbench.models"),
        ("models.blobs.files=[no.bin]", "found 'no.bin', which is not a file"),
        ("sample.guidance=2", "has conditioning none, which cannot be guided"),
    ],
)
def test_mistakes_are_found_before_anything_runs(example, change, message):
    with pytest.raises(SuiteError) as caught:
        check_suite(load_suite(example, [change]))
    assert any((message in p and "suite.yaml" in p) or "--set" in p for p in caught.value.problems)
    assert message in str(caught.value)


def test_an_entry_point_stands_for_its_target(example, monkeypatch):
    point = metadata.EntryPoint("discs", "blobs:Blobs", "ldmbench.models")
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: [point])
    check_suite(load_suite(example, ["models.blobs.target=discs"]))


def test_a_wrong_image_fails_its_cells_with_a_sentence(example, tmp_path):
    source = example.with_name("blobs.py")
    source.write_text(source.read_text().replace("torch.uint8", "torch.int32"))
    sets = [part for change in SMALL for part in ("--set", change)]
    assert outcome(["run", str(example), "--store", str(tmp_path / "s"), *sets]) == 4
    lines = (tmp_path / "s").rglob("records.jsonl")
    record = json.loads(next(lines).read_text().splitlines()[0])
    assert "it must return (8, 32, 32, 3) uint8, which is NHWC" in record["reason"]
