from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fake_records import EVIL, fake, write

from ldmbench.schema.stage import Stage
from ldmbench.schema.suite import MlflowSettings
from ldmbench.track.mlflow import follow, mirror, pending
from ldmbench.track.reach import shown
from ldmbench.track.rows import (
    curve_values,
    key,
    milliseconds,
    params_of,
    table_rows,
    tags_of,
    trainings_of,
)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """One migrated SQLite file for the module: making one takes seconds."""
    return tmp_path_factory.mktemp("mlflow") / "mlflow.db"


@pytest.fixture(autouse=True)
def _no_uri_from_outside(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


SEEN = ("fid", "clip_score", "throughput", "energy_per_image", "total_device_days")
"""Scores and measures whose whole history is read back; one request each."""


def _send(made, folder, uri, *, experiment, files=None, **more):
    settings = MlflowSettings(experiment=experiment)
    return mirror(
        *made, folder=folder, settings=settings, default_uri=uri, files=files or {}, **more
    )


def _held(uri, experiment):
    """Everything that MLflow holds of an experiment: parents, children, every metric point."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    number = client.get_experiment_by_name(experiment).experiment_id
    runs = list(client.search_runs([number], max_results=1000))
    parents = [r for r in runs if r.data.tags["ldmbench.role"] == "suite"]
    children = {
        r.data.tags["ldmbench.cell"]: r for r in runs if r.data.tags["ldmbench.role"] == "cell"
    }
    own = [r for r in runs if r.data.tags["ldmbench.role"] == "training"]
    assert len(children) + len(parents) + len(own) == len(runs)
    points = {
        (r.info.run_id, name): client.get_metric_history(r.info.run_id, name)
        for r in runs
        for name in r.data.metrics
        if name in (*SEEN, "loss") or r.data.tags["ldmbench.role"] == "suite"
    }
    return client, parents, children, points


def _assert_whole(made, held):
    """Every number of every record is there exactly once, and nothing else."""
    _, records, extras = made
    _, (parent,), children, points = held
    assert set(children) == {r.cell.id for r in records}
    for record in records:
        child = children[record.cell.id]
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        for score in (*record.scores, *record.measures):
            if score.name not in SEEN:
                continue
            history = points.get((child.info.run_id, score.name), [])
            assert [m.value for m in history] == ([] if score.value is None else [score.value])
    trainings = trainings_of(records, extras)
    curves = [
        [(m.step, m.value) for m in held] for (_, name), held in points.items() if name == "loss"
    ]
    assert sorted(map(sorted, curves)) == sorted(
        [(p.step, p.loss) for p in training.points] for training in trainings
    )
    assert parent.info.status == "FINISHED"


SMALL = {"downsampling": (1, 4), "steps": (10, 50), "datasets": ("shapes",), "side": 8}


def test_sqlite_holds_the_run_and_a_replay_changes_nothing(database, tmp_path):
    folder = tmp_path / "run"
    made = fake(folder, failed=(4,), **SMALL)
    uri = f"sqlite:///{database}"
    report = tmp_path / "report.html"
    report.write_text("<p>report</p>")
    files = {"report/report.html": report}
    assert pending(tmp_path) == [folder]
    assert _send(made, folder, uri, experiment="one", files=files) is None
    assert pending(tmp_path) == []
    held = _held(uri, "one")
    _assert_whole(made, held)
    client, (parent,), children, points = held
    artifacts = {a.path for a in client.list_artifacts(parent.info.run_id)}
    assert {"comparison.json", "report", "records", "samples", "suite.yaml"} <= artifacts
    (failed,) = [c for c in children.values() if c.info.status == "FAILED"]
    assert "out of memory" in failed.data.tags["ldmbench.reason"]
    child = children["ldm[f=4]/shapes/ddim-10/g1/s0"]
    assert child.data.params["axes.f"] == "4"
    assert child.data.tags["signature.fid"].startswith("fid|v1|feat:shapes-net")
    assert "energy counter" in child.data.tags["null.energy_per_image"]
    whole = client.get_run(child.info.run_id)
    assert [d.dataset.name for d in whole.inputs.dataset_inputs] == ["shapes"]
    assert [a.path for a in client.list_artifacts(child.info.run_id, "samples")]
    (folder / "mirrored.json").unlink()
    assert _send(made, folder, uri, experiment="one", files=files) is None
    again = _held(uri, "one")
    assert {k: [(m.value, m.step) for m in v] for k, v in again[3].items()} == {
        k: [(m.value, m.step) for m in v] for k, v in points.items()
    }


def test_log_table_is_read_back_by_mlflow(database, tmp_path, monkeypatch):
    made = fake(tmp_path / "run", **SMALL)
    uri = f"sqlite:///{database}"
    for question in ("Is it read back?", "Is it once there, though the run changed?"):
        changed = (made[0].model_copy(update={"question": question}), *made[1:])
        write(tmp_path / "run", *changed)
        assert _send(changed, tmp_path / "run", uri, experiment="table") is None
    client, (parent,), _, _ = _held(uri, "table")
    number = client.get_experiment_by_name("table").experiment_id
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    table = client.load_table(number, "comparison.json", run_ids=[parent.info.run_id])
    assert len(table) == len(made[1])
    assert table["fid"].tolist() == pytest.approx(
        [next(s.value for s in r.scores if s.name == "fid") for r in made[1]]
    )


def test_a_mirror_that_broke_off_goes_on_without_duplicates(database, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    made = fake(tmp_path / "run", **SMALL)
    uri = f"sqlite:///{database}"
    real, calls = MlflowClient.log_batch, []

    def breaks(self, *args, **more):
        calls.append(1)
        result = real(self, *args, **more)  # the server took it, its answer is lost
        if len(calls) % 4 == 0:
            raise ConnectionError("the server went away")
        return result

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", breaks)
        for _ in range(20):
            warning = _send(made, tmp_path / "run", uri, experiment="broken")
            if warning is None:
                break
            assert "the server went away" in warning
            assert "tries again" in warning
            assert pending(tmp_path) == [tmp_path / "run"]
    assert len(calls) > 8
    assert warning is None
    _assert_whole(made, _held(uri, "broken"))


def test_what_an_older_version_has_sent_is_not_sent_again(database, tmp_path, monkeypatch):
    """It set no tags that count the steps; what is held is looked up then."""
    from mlflow import MlflowClient

    folder, uri = tmp_path / "run", f"sqlite:///{database}"
    made = fake(folder, **SMALL)
    assert _send(made, folder, uri, experiment="older") is None
    client, (parent,), _, _ = _held(uri, "older")
    for name in ("trainings", "shared"):
        client.delete_tag(parent.info.run_id, f"ldmbench.{name}")
    for run in client.search_runs([parent.info.experiment_id], "tags.`ldmbench.training` != ''"):
        client.delete_tag(run.info.run_id, "ldmbench.curve")
    (folder / "mirrored.json").unlink()
    real, sent = MlflowClient.log_batch, []

    def listens(self, number, metrics=(), **more):
        sent.extend(metrics)
        return real(self, number, metrics=metrics, **more)

    monkeypatch.setattr(MlflowClient, "log_batch", listens)
    assert _send(made, folder, uri, experiment="older") is None
    assert sent == []
    _assert_whole(made, _held(uri, "older"))


def test_a_cell_with_new_numbers_replaces_the_old(database, tmp_path):
    folder = tmp_path / "run"
    run, records, extras = fake(folder, **SMALL)
    uri = f"sqlite:///{database}"
    assert _send((run, records, extras), folder, uri, experiment="changed") is None
    score = records[0].scores[0].model_copy(update={"value": 1.5})
    records[0] = records[0].model_copy(update={"scores": (score, *records[0].scores[1:])})
    write(folder, run, records, extras)
    assert pending(tmp_path) == [folder]
    assert _send((run, records, extras), folder, uri, experiment="changed") is None
    _assert_whole((run, records, extras), _held(uri, "changed"))


def test_hostile_and_long_names_are_only_names(database, tmp_path):
    made = fake(
        tmp_path / "run", models=(*EVIL, "x" * 300), downsampling=(4,), steps=(10,),
        datasets=("shapes",), side=8,
    )  # fmt: skip
    uri = f"sqlite:///{database}"
    assert _send(made, tmp_path / "run", uri, experiment="evil") is None
    _, _, children, _ = _held(uri, "evil")
    assert {c.data.params["model"] for c in children.values()} == {
        f"{name}[f=4]" for name in (*EVIL, "x" * 300)
    }


def test_a_rerun_that_executed_nothing_does_not_import_mlflow(tmp_path):
    folder = tmp_path / "run"
    made = fake(folder, **SMALL)
    uri = f"sqlite:///{tmp_path / 'x.db'}"
    from ldmbench.track.spool import content_of, mark

    mark(folder, f"{uri} one", content_of(folder), uri=uri, experiment="1")
    write(folder, made[0].model_copy(update={"executed": 0, "reused": 99}), *made[1:])
    code = (
        "import sys; from pathlib import Path; from fake_records import *;"
        "from ldmbench.track.mlflow import mirror; from ldmbench.schema.suite import *;"
        f"f = Path({str(folder)!r}); r = Run.model_validate_json((f / 'run.json').read_text());"
        f"w = mirror(r, [], Extras(), folder=f, settings=MlflowSettings(experiment='one'),"
        f" default_uri={uri!r}, files={{}});"
        "assert w is None and 'mlflow' not in sys.modules"
    )
    import fake_records

    path = os.pathsep.join([str(Path(fake_records.__file__).parent), *sys.path])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})
    assert not (tmp_path / "x.db").exists()


def test_a_mirror_that_is_off_does_nothing(tmp_path):
    made = fake(tmp_path / "run", **SMALL)
    settings = MlflowSettings(enabled=False)
    assert mirror(
        *made, folder=tmp_path / "run", settings=settings, default_uri="sqlite:///no.db", files={}
    ) is None  # fmt: skip
    assert not (tmp_path / "run" / "mirrored.json").exists()


def test_a_server_that_is_down_costs_one_sentence_and_little_time(tmp_path):
    made = fake(tmp_path / "run", **SMALL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    uri = f"http://me:secret@127.0.0.1:{port}"
    warning = _send(made, tmp_path / "run", uri, experiment="down")
    assert time.monotonic() - started < 3
    assert warning is not None
    assert "secret" not in warning
    assert warning.count("\n") == 0
    assert pending(tmp_path) == [tmp_path / "run"]
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


def test_a_server_that_never_answers_is_left(tmp_path, monkeypatch):
    from ldmbench.track import reach

    monkeypatch.setitem(reach._SETTINGS, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    made = fake(tmp_path / "run", **SMALL)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        stop = threading.Event()
        threading.Thread(target=lambda: stop.wait(30), daemon=True).start()
        started = time.monotonic()
        uri = f"http://127.0.0.1:{mute.getsockname()[1]}"
        warning = _send(made, tmp_path / "run", uri, experiment="mute")
        stop.set()
    assert warning is not None
    assert time.monotonic() - started < 30


def test_pending_leaves_running_and_half_written_runs(tmp_path):
    run, records, extras = fake(tmp_path / "b", **SMALL)
    write(tmp_path / "a", run.model_copy(update={"state": "running"}), records, extras)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "run.json").write_text("{")
    (tmp_path / "b" / "mirrored.json").write_text("not json")
    assert pending(tmp_path) == [tmp_path / "b"]
    assert pending(tmp_path / "none") == []


def test_trainings_that_go_on_are_followed_and_end_in_the_same_runs(database, tmp_path):
    folder = tmp_path / "run"
    run, records, extras = made = fake(folder, **SMALL)
    uri, trainings = f"sqlite:///{database}", trainings_of(records, extras)
    going = run.model_copy(update={"state": "running", "finished": None})
    more = {"folder": folder, "settings": MlflowSettings(experiment="live"), "default_uri": uri}
    for count in (3, 6):
        begun = [replace(training, points=training.points[:count]) for training in trainings]
        assert follow(going, begun, **more) is None
    client, (parent,), children, points = _held(uri, "live")
    assert parent.info.status == "RUNNING"
    assert not children
    assert {len(held) for (_, name), held in points.items() if name == "loss"} == {6}
    assert _send(made, folder, uri, experiment="live") is None
    _assert_whole(made, _held(uri, "live"))
    assert len(client.search_runs([parent.info.experiment_id])) == 1 + len(trainings) + len(records)


def test_keys_are_what_mlflow_allows(tmp_path):
    assert key("ldm[f=4] denoiser") == "ldm_f_4_ denoiser"
    assert key("../../etc") == "etc"
    assert key("<>") == "_"
    assert key("loss/../../etc") == "loss/etc"
    assert len(key("x" * 999)) <= 250
    assert key("x" * 999) != key("x" * 998)
    _, records, extras = fake(tmp_path, **SMALL)
    tags, params = tags_of(records[0]), params_of(records[0], {})
    assert params["steps"] == "10"
    assert tags["version.torch"] == "2.15.0"
    assert curve_values(trainings_of(records, extras)[0], start=5)[0][2] == 1005
    assert len({tuple(row) for row in table_rows(records)}) == 1


def test_parameters_say_what_models_are_and_trainings_are_told_apart_by_their_stage(tmp_path):
    _, (record, *_), extras = fake(tmp_path, **{**SMALL, "downsampling": (4,)})
    params = {"channels": 16, "learning_rate": 0.001, "budget": {"steps": 6}}
    key = record.cell.stages["denoiser"]
    found = params_of(record, {key: Stage(kind="denoiser", key=key, params=params)})
    assert found["denoiser.channels"] == "16"
    assert found["denoiser.learning_rate"] == "0.001"
    assert found["denoiser.budget.steps"] == "6"
    assert "denoiser.budget.flops" not in found
    other = record.cell.model_copy(update={"model": "other", "id": "other"})
    curves = {**extras.curves, "other/shapes denoiser": extras.curves["ldm[f=4]/shapes denoiser"]}
    shared = trainings_of(
        [record, record.model_copy(update={"cell": other})],
        extras.model_copy(update={"curves": curves}),
    )
    assert [t.name for t in shared] == ["ldm[f=4]/shapes autoencoder", "ldm[f=4]/shapes denoiser"]


def test_times_are_utc_unless_they_say_otherwise():
    assert milliseconds("1970-01-01T00:00:01") == 1000
    assert milliseconds("1970-01-01T01:00:01+01:00") == 1000
    assert milliseconds(None, fallback=7) == 7


def test_a_password_is_never_shown():
    assert shown("https://me:word@host:80/x") == "https://host:80/x"
    assert shown("sqlite:///a/b.db") == "sqlite:///a/b.db"
