"""A real `mlflow server` on loopback, killed in the middle of a mirror and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from fake_records import fake
from test_track_links import links, with_digests
from test_track_mlflow import SMALL, _assert_whole, _held, _send

from ldmbench.track.mlflow import pending

pytestmark = pytest.mark.slow


class Server:
    """`mlflow server` with its own SQLite file; it can die and come back on the same port."""

    def __init__(self, folder) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
            "--port", str(self.port),
            "--backend-store-uri", f"sqlite:///{self.folder}/server.db",
            "--artifacts-destination", str(self.folder / "artifacts"), "--workers", "1",
        ]  # fmt: skip
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                    return
            except (OSError, urllib.error.URLError):
                time.sleep(0.3)
        pytest.fail((self.folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


def test_a_server_that_dies_midway_ends_with_every_metric_once(server, tmp_path, monkeypatch):
    from ldmbench.track.experiment import Experiment

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "run"
    made = with_digests(fake(folder, failed=(4,), **SMALL), folder, {1: "1" * 32, 4: "4" * 32})
    real, cells = Experiment._log, []

    def dies(self, there, *args, **more):
        cells.append(there)
        if len(cells) == 3:  # the parent and one cell are whole, the second cell was just begun
            server.kill()
        return real(self, there, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "_log", dies)
        warning = _send(made, folder, server.uri, experiment="killed")
    assert warning is not None
    assert pending(tmp_path) == [folder]
    assert _send(made, folder, server.uri, experiment="killed") is not None  # still down
    server.start()
    assert _send(made, folder, server.uri, experiment="killed") is None
    assert pending(tmp_path) == []
    held = _held(server.uri, "killed")
    _assert_whole(made, held)
    client, (parent,), _, _ = held
    artifacts = {a.path for a in client.list_artifacts(parent.info.run_id)}
    assert {"comparison.json", "records", "samples", "suite.yaml"} <= artifacts
    models, linked = links(server.uri, "killed")
    assert sorted(m.name for m in models) == ["ldm[f=1]", "ldm[f=4]"]
    assert sorted(linked) == [["ldm[f=1]"]] * 2 + [["ldm[f=4]"]] * 2


def test_a_slow_server_takes_what_it_can_and_the_rest_later(server, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "run"
    made = fake(folder, **SMALL)
    warnings = []
    for limit in (0.0, 0.4, 0.4, 60.0):
        warning = _send(made, folder, server.uri, experiment="slow", limit=limit)
        warnings.append(warning)
    assert "too slow" in warnings[0]
    assert warnings[-1] is None
    _assert_whole(made, _held(server.uri, "slow"))
