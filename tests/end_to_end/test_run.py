"""A tiny suite through the door: run, rerun, grow, fail, recover."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import tiny

from ldmbench.cli import outcome
from ldmbench.execute.process import WorkerProcess
from ldmbench.records.runs import Runs

pytestmark = pytest.mark.slow


def run(path, store, *more):
    """Run the suite in this process and return (exit code, run)."""
    code = outcome(["run", str(path), "--store", str(store), "--json", *more])
    return code, Runs(store).find()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of the tiny suite: (suite file, store, run)."""
    folder = tmp_path_factory.mktemp("tiny")
    path, store = tiny.write_suite(folder), folder / "store"
    code, done = run(path, store)
    assert code == 0
    return path, store, done


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished run that a test may change."""
    path, store, done = finished
    shutil.copytree(store, tmp_path / "store", dirs_exist_ok=True)
    return path, tmp_path / "store", done


def numbers(store, run):
    """What was scored, field by field."""
    return {
        record.cell.id: [score.model_dump() for score in record.scores]
        for record in Runs(store).records(run.id)
    }


def test_records_are_complete_and_strict_json(finished):
    _, store, done = finished
    lines = (Runs(store).path(done.id) / "records.jsonl").read_text().splitlines()
    assert len(lines) == 2

    def refuse(name):
        raise AssertionError(f"{name} is no strict JSON")

    for line in lines:
        record = json.loads(line, parse_constant=refuse)
        assert record["status"] == "done"
        assert {s["name"] for s in record["scores"]} == {"fid", "precision"}
        for score in record["scores"]:
            assert score["value"] is not None
            assert score["n"] == 16
            assert "|n:16|m:32|" in score["signature"]
            assert "feat:shapes-net@" in score["signature"]
        measures = {m["name"]: m["value"] for m in record["measures"]}
        assert measures["train_steps"] == 3
        assert measures["total_device_days"] > 0
        assert record["machine"]["device"].endswith("threads")
        assert "torch" in record["versions"]


def test_the_same_run_again_executes_nothing_and_reopens(finished, capsys):
    path, store, done = finished
    code, again = run(path, store)
    assert code == 0
    assert again.id == done.id
    assert json.loads(capsys.readouterr().out)["executed"] == 0
    assert len(Runs(store).runs()) == 1


def test_more_samples_draw_only_new_ones(copied):
    path, store, _ = copied
    kept = sorted((store / "samples").rglob("images.npy"))
    times = [p.stat().st_mtime_ns for p in kept]
    code, grown = run(path, store, "--set", "sample.count=100", "--only", "*/ddim-2/*")
    assert code == 0
    assert [p.stat().st_mtime_ns for p in kept] == times
    assert len(sorted((store / "samples").rglob("images.npy"))) == len(kept) + 1
    assert all(s.n == 100 for s in Runs(store).records(grown.id)[0].scores)


def test_one_more_step_count_samples_only_that(copied):
    path, store, _ = copied
    before = {p.parent.parent for p in (store / "samples").rglob("images.npy")}
    denoisers = list((store / "denoiser").iterdir())
    run(path, store, "--set", "sample.steps=[2,3,4]")
    after = {p.parent.parent for p in (store / "samples").rglob("images.npy")}
    assert len(after - before) == 1
    assert list((store / "denoiser").iterdir()) == denoisers


def test_one_more_metric_family_computes_only_that(copied):
    path, store, _ = copied
    before = set((store / "scores").iterdir())
    features = sorted((store / "features").rglob("features.npy"))
    _, more = run(path, store, "--set", "metrics=[fid,precision,inception_score]")
    new = set((store / "scores").iterdir()) - before
    assert {json.loads((f / "manifest.json").read_text())["params"]["family"] for f in new} == {
        "logits"
    }
    assert sorted((store / "features").rglob("features.npy")) == features
    names = {s.name for s in Runs(store).records(more.id)[0].scores}
    assert names == {"fid", "precision", "inception_score"}


def test_verify_reads_whatever_the_plan_uses(copied, capsys):
    path, store, done = copied
    before, harmed = numbers(store, done), {}
    for kind in ("dataset", "denoiser", "samples", "features", "scores"):
        file = max((store / kind).rglob("*.[ns][pa]*"), key=lambda f: f.stat().st_size)
        harmed[file] = file.read_bytes()
        file.write_bytes(harmed[file][:-1] + bytes([harmed[file][-1] ^ 1]))
    assert outcome(["run", str(path), "--store", str(store), "--verify"]) == 0
    told = capsys.readouterr().err
    for file, original in harmed.items():
        assert f"{file.name} does not have the digest it was committed with" in told
        assert file.read_bytes() == original or file.name == "replicates.npz"
    assert len(list((store / "damaged").iterdir())) == 5
    assert numbers(store, Runs(store).find()) == before


def test_a_digit_that_was_edited_is_never_served(copied, capsys):
    path, store, done = copied
    before = numbers(store, done)
    for file in (
        *(store / "scores").rglob("scores.json"),
        *(store / "denoiser").rglob("cost.json"),
    ):
        text = file.read_text()
        at = next(i for i, c in enumerate(text) if c in "12345")
        file.write_text(text[:at] + str(int(text[at]) + 1) + text[at + 1 :])
    code = outcome(["run", str(path), "--store", str(store), "--set", "probes=[]"])
    assert code == 0
    assert "scores.json does not have the digest it was committed with" in capsys.readouterr().err
    again = Runs(store).find()
    assert again.id != done.id
    assert numbers(store, again) == before
    assert len(list((store / "damaged").iterdir())) == 5


def test_two_workers_of_one_processor_give_the_numbers_of_one(finished, tmp_path, monkeypatch):
    path, store, done = finished
    monkeypatch.setenv("LDMBENCH_DEVICES", "cpu,cpu")
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("ldmbench.execute.local.cores", lambda: 2)
    asked = ["--set", "probes=[throughput]", "--set", "speed.repeats=2"]
    code, both = run(path, tmp_path / "store", *asked)
    assert code == 0
    assert numbers(tmp_path / "store", both) == numbers(store, done)
    manifests = [
        json.loads(file.read_text()) for file in (tmp_path / "store").rglob("manifest.json")
    ]
    threads = {kind: set() for kind in ("speed", "denoiser")}
    for manifest in manifests:
        if manifest["kind"] in threads:
            threads[manifest["kind"]].add(manifest["machine"]["threads"])
    assert threads == {"speed": {2}, "denoiser": {1}}


def test_device_days_become_v100_days_and_money(copied):
    path, store, _ = copied
    more = ("--set", "speed.v100_factor=2.2", "--set", "speed.price_per_device_hour=3")
    code, priced = run(path, store, *more)
    assert code == 0
    for record in Runs(store).records(priced.id):
        measures = {m.name: m for m in record.measures}
        days = measures["total_device_days"]
        assert measures["v100_days"].value == pytest.approx(2.2 * days.value)
        assert measures["v100_days"].unit == "V100-days"
        assert measures["cost"].value == pytest.approx(3 * 24 * days.value)
        parts = measures["train_device_days"].value + measures["autoencoder_device_days"].value
        assert days.value == pytest.approx(parts)
        assert measures["cost"].device == days.device


def test_a_fresh_denoiser_comes_out_the_same_and_nothing_below_it_runs(copied):
    path, store, done = copied
    before = numbers(store, done)
    samples = [p.stat().st_mtime_ns for p in sorted((store / "samples").rglob("images.npy"))]
    code, again = run(path, store, "--fresh", "denoiser")
    assert code == 0
    assert again.executed == 1
    after = [p.stat().st_mtime_ns for p in sorted((store / "samples").rglob("images.npy"))]
    assert after == samples
    assert numbers(store, again) == before


def test_artefacts_of_an_older_code_are_named(copied, capsys):
    path, store, _ = copied
    for manifest in (store / "denoiser").rglob("manifest.json"):
        data = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**data, "code": "older"}))
    code = outcome(["run", str(path), "--store", str(store), "--set", "sample.count=17"])
    assert code == 0
    assert "--fresh denoiser" in capsys.readouterr().err
    assert Runs(store).records(Runs(store).find().id)[0].stale == ("denoiser",)


def test_a_run_that_is_stopped_while_it_is_written_is_interrupted(copied, monkeypatch):
    path, store, _ = copied

    def stopped(sheet, file, form):
        file.write(b"half a picture")
        raise KeyboardInterrupt

    monkeypatch.setattr("PIL.Image.Image.save", stopped)
    code, again = run(path, store, "--set", "probes=[]")
    assert code == 130
    assert again.state == "interrupted"
    assert not list((Runs(store).path(again.id) / "pictures").iterdir())


def test_a_file_of_records_that_is_cut_stops_no_command(copied, capsys):
    path, store, done = copied
    file = Runs(store).path(done.id) / "records.jsonl"
    file.write_text(file.read_text()[:-100])
    code, again = run(path, store)
    assert (code, again.id) == (0, done.id)
    assert "records.jsonl: " in capsys.readouterr().err
    (file.parent / "plan.json").unlink()
    file.write_text("{")
    for command in (["status"], ["history", "--suite", "tiny"]):
        assert outcome([*command, "--store", str(store)]) == 2
    code, again = run(path, store)
    assert code == 0
    assert again.id != done.id


def test_a_failing_cell_stops_no_other_and_ends_with_4(tmp_path, capsys):
    store = tmp_path / "failing"
    text = tiny.SUITE.replace("models:", "models:\n  bad:\n    autoencoder: {f: 1}\n    denoiser: "
                              "{channels: 8, learning_rate: 1.0e+30, warmup: 0}\n    budget: "
                              "{steps: 3}")  # fmt: skip
    suite = tiny.write_suite(tmp_path, text)
    code, done = run(suite, store)
    assert code == 4
    assert done.state == "failed"
    records = {r.cell.id: r for r in Runs(store).records(done.id)}
    assert records["bad/shapes/ddim-2/g1/s0"].status == "failed"
    assert "no longer finite" in records["bad/shapes/ddim-2/g1/s0"].reason
    assert records["pixel/shapes/ddim-2/g1/s0"].status == "done"
    assert outcome(["status", "--store", str(store)]) == 0
    assert outcome(["report", "--store", str(store), "--format", "markdown"]) == 0
    assert "no longer finite" in capsys.readouterr().out


def test_an_unreadable_image_ends_a_run_before_it_begins(tmp_path, capsys):
    from PIL import Image

    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(60):
        Image.new("RGB", (16, 16), (4 * i, 255 - 4 * i, i)).save(folder / f"{i:02d}.png")
    (folder / "17.png").write_bytes(b"\x89PNG\r\n\x1a\nnot an image")
    text = tiny.SUITE.replace(
        "{kind: shapes, resolution: 16, train: 32, reference: 32}",
        "{kind: folder, path: images, resolution: 16, reference: 16, validation: 8}",
    ).replace("denoiser: {", "denoiser: {conditioning: none, ")
    suite = tiny.write_suite(tmp_path, text)
    assert outcome(["run", str(suite), "--store", str(tmp_path / "store")]) == 2
    assert "17.png" in capsys.readouterr().err
    assert not Runs(tmp_path / "store").runs()


def test_a_worker_that_dies_fails_its_cell_and_not_the_run(tmp_path, monkeypatch, capfd):
    suite, start = tiny.write_suite(tmp_path), WorkerProcess._start

    def dies(self):
        process = start(self)
        os.kill(process.pid, signal.SIGKILL)
        return process

    with monkeypatch.context() as patched:
        patched.setattr(WorkerProcess, "_start", dies)
        assert run(suite, tmp_path / "s")[0] == 4
    said = capfd.readouterr().err
    assert "the worker process on cpu was killed (signal 9)" in said
    assert "Traceback" not in said
    again, _ = run(suite, tmp_path / "s")
    assert again == 0


def test_samples_do_not_depend_on_how_many_there_are(finished):
    _, store, _ = finished
    shards = sorted((store / "samples").rglob("images.npy"))
    assert all(np.load(s).shape == (64, 16, 16, 3) for s in shards)
