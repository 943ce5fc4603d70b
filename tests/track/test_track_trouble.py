"""Servers that answer, but not as they should: each costs one sentence and loses nothing."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from fake_records import fake
from test_track_mlflow import SMALL, _send

from ldmbench.cli.outlets import replay
from ldmbench.records.book import Book
from ldmbench.track.mlflow import pending


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


@pytest.mark.parametrize("refusing", [500], indirect=True)
def test_several_waiting_runs_make_one_warning(refusing, tmp_path, monkeypatch):
    uri, asked = refusing
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr("ldmbench.cli.outlets._files", lambda run, book: {})
    book = Book(tmp_path)
    for name in ("a", "b", "c"):
        run, records, _ = fake(tmp_path / "spare", **SMALL)
        run = run.model_copy(update={"id": name, "source": ""})
        book.write_run(run)
        book.rewrite(name, records)
    started = time.monotonic()
    warnings = list(replay(book))
    assert len(warnings) == 1
    assert len(asked) < 4
    assert len(pending(book.folder)) == 3
    assert time.monotonic() - started < 60
