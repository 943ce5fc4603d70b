"""Servers that answer, but not as they should: each costs one sentence and loses nothing."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from fake_records import fake
from test_track_mlflow import SMALL, _assert_whole, _held, _send

from ldmbench.records.runs import Runs
from ldmbench.session.pages import mirror_of, replay
from ldmbench.track.mlflow import pending
from ldmbench.track.reach import is_local, unreachable


@pytest.fixture
def refusing(request):
    """A server that answers everything with one status; it counts what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def _refuse(self):
            asked.append(self.path)
            self.send_response(request.param)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = _refuse  # noqa: N815

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://me:wrong@127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("refusing", [500, 401, 403], indirect=True)
def test_errors_and_wrong_credentials_are_one_sentence(refusing, tmp_path):
    uri, asked = refusing
    made = fake(tmp_path / "run", **SMALL)
    warning = _send(made, tmp_path / "run", uri, experiment="refused")
    assert asked
    assert warning is not None
    assert "\n" not in warning
    assert "wrong" not in warning  # the password
    assert "nothing is lost" in warning
    assert pending(tmp_path) == [tmp_path / "run"]


def test_a_name_that_nobody_knows_is_one_sentence(tmp_path):
    made = fake(tmp_path / "run", **SMALL)
    warning = _send(made, tmp_path / "run", "http://nowhere.invalid:5000", experiment="dns")
    assert warning is not None
    assert "nowhere.invalid" in warning
    assert pending(tmp_path) == [tmp_path / "run"]


def three_waiting_runs(tmp_path, monkeypatch, uri):
    """Return the runs of a store, three that go to an address."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr("ldmbench.session.pages._files", lambda run, all_runs: {})
    all_runs = Runs(tmp_path)
    for name in ("a", "b", "c"):
        run, records, _ = fake(tmp_path / "spare", **SMALL)
        run = run.model_copy(update={"id": name, "source": ""})
        all_runs.write_run(run)
        all_runs.rewrite(name, records)
    return all_runs


@pytest.mark.parametrize("refusing", [500], indirect=True)
def test_several_waiting_runs_make_one_warning(refusing, tmp_path, monkeypatch):
    uri, asked = refusing
    all_runs = three_waiting_runs(tmp_path, monkeypatch, uri)
    started = time.monotonic()
    warnings = list(replay(all_runs))
    assert len(warnings) == 1
    assert len(asked) < 4
    assert len(pending(all_runs.folder)) == 3
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    "uri", ["http://me:secret@[bad", "https://me:secret@host:99999", f"http://{'x' * 99}"]
)
def test_what_is_no_address_is_one_warning(tmp_path, monkeypatch, uri):
    all_runs = three_waiting_runs(tmp_path, monkeypatch, uri)
    assert mirror_of(all_runs.find(), all_runs) == uri.replace("me:secret@", "")
    (warning,) = replay(all_runs)
    assert "this is no address; " in warning
    assert "secret" not in warning
    assert len(pending(all_runs.folder)) == 3


LOCAL = ("mlruns", "/a/mlruns", "file:///a", "sqlite:///a.db", "sqlite+pysqlite:///a.db", "C:\\a")
ELSEWHERE = (
    "http://{}", "https://{}/x", "postgresql://me:secret@{}/mlflow", "mysql+pymysql://{}/mlflow",
    "mssql+pyodbc://{}/x", "databricks", "databricks://profile", "other://{}",
)  # fmt: skip


def test_offline_opens_no_connection_whatever_the_address(tmp_path, monkeypatch):
    monkeypatch.setenv("LDMBENCH_OFFLINE", "1")
    made = fake(tmp_path / "run", **SMALL)
    assert all(is_local(uri) and unreachable(uri) is None for uri in LOCAL)
    with socket.create_server(("127.0.0.1", 0)) as server:
        for uri in ELSEWHERE:
            place = uri.format(f"127.0.0.1:{server.getsockname()[1]}")
            warning = _send(made, tmp_path / "run", place, experiment="offline")
            assert warning is not None
            assert "(--offline opens no connection)" in warning
            assert "secret" not in warning
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_database_that_is_down_costs_one_sentence_and_little_time(tmp_path):
    """MLflow by itself would ask it ten times, for 100 seconds."""
    made = fake(tmp_path / "run", **SMALL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    for uri in (
        f"postgresql://me:secret@127.0.0.1:{port}/x",
        f"mysql+pymysql://127.0.0.1:{port}/x",
    ):
        warning = _send(made, tmp_path / "run", uri, experiment="down")
        assert warning is not None
        assert "refused" in warning
        assert "secret" not in warning
    assert time.monotonic() - started < 3
    assert pending(tmp_path) == [tmp_path / "run"]


def test_where_a_driver_alone_knows_the_way_nobody_knocks():
    for uri in (
        "postgresql:///mlflow",
        "postgresql://one,two/mlflow",
        "postgresql://me:p[ss@nowhere.invalid/mlflow",
        "postgresql://nowhere.invalid/mlflow?host=/var/run/postgresql",
        "mysql://localhost/mlflow",
        "mssql+pyodbc://a_dsn",
    ):
        assert unreachable(uri) is None


SLOW = (
    "create_run", "get_metric_history", "get_run", "list_artifacts", "log_artifact", "log_batch",
    "log_inputs", "log_table", "log_text", "search_runs", "set_tag", "set_terminated",
)  # fmt: skip


def test_a_slow_server_is_brought_further_by_every_call(tmp_path, monkeypatch):
    """Each request takes a second of its own clock; a call gets eight, there are 11 trainings."""
    from mlflow import MlflowClient

    seconds = [0.0]

    def slow(method):
        def called(self, *args, **more):
            seconds[0] += 1
            return method(self, *args, **more)

        return called

    for name in SLOW:
        monkeypatch.setattr(MlflowClient, name, slow(getattr(MlflowClient, name)))
    clock = SimpleNamespace(monotonic=lambda: seconds[0])
    monkeypatch.setattr("ldmbench.track.experiment.time", clock)
    monkeypatch.setattr("ldmbench.track.mlflow.is_local", lambda uri: False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder, uri = tmp_path / "run", f"sqlite:///{tmp_path / 'mlflow.db'}"
    made = fake(folder, steps=(10,), datasets=("shapes",), side=8)
    assert len(made[2].curves) == 11
    longest = 0.0
    for _ in range(40):
        began = seconds[0]
        warning = _send(made, folder, uri, experiment="slow", limit=8.0)
        longest = max(longest, seconds[0] - began)
        if warning is None:
            break
        assert "too slow; what it received is kept" in warning
    assert warning is None
    assert longest < 8 + 12  # what is begun, a cell at most, is ended
    monkeypatch.undo()
    _assert_whole(made, _held(uri, "slow"))
