"""Models from elsewhere in MLflow: one entry each, linked to the cells that were measured on it."""

from __future__ import annotations

import pytest
from fake_records import fake, write
from test_track_mlflow import SMALL, _assert_whole, _held, _send

from ldmbench.suite.load import places_of
from ldmbench.track.mlflow import pending
from ldmbench.track.rows import model_of


@pytest.fixture(autouse=True)
def _no_uri_from_outside(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def with_digests(made, folder, digests):
    """Return the same run, its models of these factors loaded from elsewhere."""
    run, records, extras = made
    records = [
        r.model_copy(
            update={
                "cell": r.cell.model_copy(update={"digest": digests[r.cell.f], "weights": "ema"})
            }
        )
        if r.cell.f in digests
        else r
        for r in records
    ]
    write(folder, run, records, extras)
    return run, records, extras


def links(uri, experiment):
    """Return the models, and the names linked to each of all cells of all runs."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    number = client.get_experiment_by_name(experiment).experiment_id
    models = {m.model_id: m for m in client.search_logged_models([number])}
    found = client.search_runs([number], "tags.`ldmbench.role` = 'cell'")
    cells = [client.get_run(c.info.run_id) for c in found]  # a search leaves links out
    names = [[models[m.model_id].name for m in c.inputs.model_inputs] for c in cells]
    return list(models.values()), names


def test_loaded_models_are_linked_once_however_often_they_are_sent(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    first = with_digests(fake(tmp_path / "a", **SMALL), tmp_path / "a", {4: "d" * 32})
    for _ in range(2):
        sent = _send(first, tmp_path / "a", uri, experiment="links", places={"ldm": "./zoo.ckpt"})
        assert sent is None
        (tmp_path / "a" / "mirrored.json").unlink()
    run, records, extras = first
    later = run.model_copy(update={"id": f"{run.id}-2"})
    again = [r.model_copy(update={"run": later.id}) for r in records]
    write(tmp_path / "b", later, again, extras)
    assert _send((later, again, extras), tmp_path / "b", uri, experiment="links") is None
    (model,), linked = links(uri, "links")
    assert model.name == "ldm[f=4]"
    assert model.source_run_id is None
    assert str(model.status) == "READY"
    assert model.tags["mlflow.model.isExternal"] == "true"
    assert model.params["digest"] == "d" * 32
    assert model.params["source"] == "./zoo.ckpt"
    assert sorted(linked) == sorted([*([["ldm[f=4]"]] * 4), *([[]] * 4)])


def test_two_checkpoints_of_one_name_are_two_models(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for name, mark in (("a", "1" * 32), ("b", "2" * 32)):
        run, records, extras = fake(tmp_path / name, **{**SMALL, "downsampling": (4,)})
        run = run.model_copy(update={"id": f"{run.id}-{name}"})
        made = with_digests((run, records, extras), tmp_path / name, {4: mark})
        assert _send(made, tmp_path / name, uri, experiment="links") is None
    models, linked = links(uri, "links")
    assert {m.params["digest"] for m in models} == {"1" * 32, "2" * 32}
    assert linked == [["ldm[f=4]"]] * 4


def test_a_model_that_was_trained_here_is_no_external_one(tmp_path):
    _, records, _ = fake(tmp_path, **SMALL)
    assert model_of(records[0], {"ldm": "x"}) is None


def test_a_suite_says_where_its_models_are():
    text = (
        "models:\n  a: {kind: load, path: ./x}\n  b: {kind: call, target: 'm:f'}\n"
        "  c: {autoencoder: {f: 1}}\n"
    )
    assert places_of(text) == {"a": "./x", "b": "m:f"}
    assert places_of("suite: x\n") == {}


@pytest.mark.parametrize(
    ("method", "left"),
    [
        ("search_logged_models", "links from cells to models that were not trained here"),
        ("log_inputs", "links from cells to datasets"),
    ],
)
def test_a_server_before_mlflow_3_gets_all_that_it_has_a_place_for(
    method, left, tmp_path, monkeypatch
):
    """It answers 404 with a page; the run counts as sent, and what is left out is said once."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND

    def unknown(self, *args, **more):
        page = "failed with error code 404 != 200. Response body: '<!doctype html>\n<p>Not Found'"
        raise MlflowException(page, error_code=ENDPOINT_NOT_FOUND)

    monkeypatch.setattr(MlflowClient, method, unknown)
    uri, folder = f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "run"
    made = with_digests(fake(folder, **SMALL), folder, {1: "1" * 32, 4: "4" * 32})
    said = _send(made, folder, uri, experiment="old")
    assert said.count(left) == 1
    assert "doctype" not in said
    assert pending(tmp_path) == []
    assert _send(made, folder, uri, experiment="old") is None
    _assert_whole(made, _held(uri, "old"))


def test_a_page_of_a_server_is_no_reason(tmp_path, monkeypatch):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    def busy(self, *args, **more):
        raise MlflowException("failed with error code 502 != 200. Response body: '<html>bad'")

    monkeypatch.setattr(MlflowClient, "search_runs", busy)
    made = fake(tmp_path / "run", **SMALL)
    said = _send(made, tmp_path / "run", f"sqlite:///{tmp_path / 'm.db'}", experiment="busy")
    assert "(failed with error code 502 != 200)" in said
    assert pending(tmp_path) == [tmp_path / "run"]
