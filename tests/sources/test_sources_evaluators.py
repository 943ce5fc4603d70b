"""Weights: found, imported, downloaded with their digest, refused."""

import http.server
import subprocess
import sys
import threading

import pytest
import torch
from safetensors.torch import save_file

from ldmbench.canonical import digest_bytes
from ldmbench.catalog.extractors import EXTRACTORS
from ldmbench.errors import InputError
from ldmbench.schema import weights as table
from ldmbench.schema.weights import WEIGHTS, Weights, weights_named
from ldmbench.sources import evaluators as room
from ldmbench.sources.evaluators import (
    UNPINNED,
    extractor_digest,
    import_weights,
    list_weights,
    verify_weights,
    weights_digest,
    weights_path,
)

CONTENT = b"weights of a test"


@pytest.fixture
def row(monkeypatch, weights_home):
    """A row of the table whose file can be made here."""
    made = Weights(
        name="tiny",
        file="tiny.bin",
        sha256=digest_bytes(CONTENT),
        bytes=len(CONTENT),
        licence="CC0-1.0",
        url="https://localhost:1/tiny.bin",
        kind="features",
    )
    monkeypatch.setattr(table, "WEIGHTS", (*WEIGHTS, made))
    monkeypatch.setattr(room, "WEIGHTS", (*WEIGHTS, made))
    return made


@pytest.fixture
def served(row, monkeypatch):
    """The row with an address that answers with `served["content"]`."""
    answer = {"content": CONTENT}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer["content"])

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = row.model_copy(update={"url": f"http://127.0.0.1:{server.server_port}/tiny.bin"})
    monkeypatch.setattr(table, "WEIGHTS", (*WEIGHTS, made))
    yield answer
    server.shutdown()
    server.server_close()


def test_shipped_weights_are_there_and_whole():
    shipped = [w for w in WEIGHTS if w.shipped]
    assert {w.name for w in shipped} == {"shapes-net", "shapes-clip", "shapes-seg"}
    assert sum(w.bytes for w in shipped) <= 8e6
    for w in shipped:
        assert weights_path(w.name, offline=True).stat().st_size == w.bytes


def test_offline_says_what_is_missing_and_where_it_goes(row, weights_home):
    with pytest.raises(InputError) as caught:
        weights_path("tiny")
    for part in ("tiny.bin", "17 bytes", row.sha256, str(weights_home / "tiny" / "tiny.bin")):
        assert part in str(caught.value)


def test_import_then_found(row, tmp_path):
    elsewhere = tmp_path / "any name"
    elsewhere.write_bytes(CONTENT)
    assert import_weights(elsewhere) == import_weights(elsewhere)
    assert weights_path("tiny").read_bytes() == CONTENT
    assert elsewhere.is_file()


def test_import_refuses_what_it_does_not_know(weights_home, tmp_path):
    stranger = tmp_path / "stranger.pth"
    stranger.write_bytes(b"?")
    with pytest.raises(InputError, match=digest_bytes(b"?")):
        import_weights(stranger)
    with pytest.raises(InputError, match="is no file"):
        import_weights(tmp_path / "absent")


def test_wrong_digest_is_refused(row, weights_home):
    path = weights_home / "tiny" / "tiny.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    with pytest.raises(InputError, match=digest_bytes(b"damaged")):
        weights_path("tiny")
    assert [s.state for s in verify_weights("tiny")] == ["damaged"]


def test_download_checks_the_digest(served, weights_home):
    told = []
    path = weights_path("tiny", offline=False, fetched=lambda w, n: told.append((w.name, n)))
    assert path.read_bytes() == CONTENT
    assert told == [("tiny", 0), ("tiny", len(CONTENT))]
    assert [p.name for p in path.parent.iterdir()] == ["tiny.bin"]


def test_download_of_other_bytes_leaves_nothing(served, weights_home):
    served["content"] = b"forged"
    with pytest.raises(InputError, match="thrown away"):
        weights_path("tiny", offline=False)
    assert not list((weights_home / "tiny").iterdir())


def test_unreachable_address_is_one_sentence(row):
    with pytest.raises(InputError, match="cannot be read"):
        weights_path("tiny", offline=False)


def test_list_and_verify(row, weights_home):
    states = {s.weights.name: s.state for s in list_weights()}
    assert states["tiny"] == "missing"
    assert states["shapes-net"] == "present"
    assert {s.state for s in verify_weights("shapes-net", "shapes-clip")} == {"verified"}
    with pytest.raises(InputError, match="did you mean 'tiny'"):
        verify_weights("tinny")


@pytest.fixture
def unpublished(row, monkeypatch):
    """The row without a published digest."""
    made = Weights(name="tiny", file="t.bin", licence="CC0-1.0", url="https://a/t", kind="features")
    monkeypatch.setattr(table, "WEIGHTS", (*WEIGHTS, made))
    monkeypatch.setattr(room, "WEIGHTS", (*WEIGHTS, made))
    return made


def test_a_file_without_published_digest_is_pinned_when_it_is_imported(unpublished, tmp_path):
    assert weights_digest("tiny") == UNPINNED
    with pytest.raises(InputError, match=r"import FILE --as tiny"):
        weights_path("tiny", offline=False)
    file, checked = tmp_path / "file", []
    file.write_bytes(CONTENT)
    with pytest.raises(InputError, match=r"by name \(--as\): .*tiny"):
        import_weights(file)
    import_weights(file, "tiny", check=lambda *told: checked.append(told))
    assert checked == [("tiny", file)]
    assert weights_digest("tiny") == digest_bytes(CONTENT)
    assert weights_path("tiny").read_bytes() == CONTENT
    state = next(s for s in list_weights() if s.weights.name == "tiny")
    assert (state.state, state.bytes) == ("present", len(CONTENT))
    assert state.origin.startswith("pinned by import 20")
    assert import_weights(file) == weights_path("tiny")  # now its digest says what it is


def test_no_other_file_takes_a_pinned_name(unpublished, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    place = import_weights(file, "tiny")
    file.write_bytes(b"others")
    with pytest.raises(InputError, match="is pinned to"):
        import_weights(file, "tiny")
    place.write_bytes(b"others")
    with pytest.raises(InputError, match=f"expected {digest_bytes(CONTENT)}"):
        weights_path("tiny")
    assert [s.state for s in verify_weights("tiny")] == ["damaged"]
    place.with_name("pinned.json").write_text("{}")
    with pytest.raises(InputError, match=r"pinned\.json is damaged"):
        weights_digest("tiny")


def test_a_file_that_was_not_imported_is_not_used(unpublished, weights_home, tmp_path):
    place = weights_home / "tiny" / "t.bin"
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    with pytest.raises(InputError, match="import FILE --as tiny"):
        weights_path("tiny")

    def refuse(name, path):
        raise InputError("no such network")

    with pytest.raises(InputError, match="no such network"):
        import_weights(place, "tiny", check=refuse)
    assert weights_digest("tiny") == UNPINNED
    assert import_weights(place, "tiny") == place


def test_a_published_digest_is_held_to(row, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"others")
    with pytest.raises(InputError, match="for 'tiny'; fetch it again"):
        import_weights(file, "tiny")


def test_dinov2_of_transformers_is_told_apart(row, tmp_path):
    names = (
        "encoder.layer.0.attention.attention.query.weight",
        "encoder.layer.0.layer_scale1.lambda1",
        "embeddings.patch_embeddings.projection.weight",
    )
    file = tmp_path / "model.safetensors"
    save_file({name: torch.ones(1) for name in names}, file)
    with pytest.raises(InputError, match=r"Dinov2Model.*dinov2_vits14_pretrain\.pth"):
        import_weights(file, "tiny")


def test_an_extractor_of_two_files_has_one_digest(weights_home, tmp_path):
    spec, file = EXTRACTORS["siglip2-vit-b-16-256"], tmp_path / "file"
    file.write_bytes(b"words")
    import_weights(file, spec.tokenizer)
    assert extractor_digest(spec) == UNPINNED
    file.write_bytes(b"weights")
    import_weights(file, spec.weights)
    assert extractor_digest(spec) not in (weights_digest(spec.weights), UNPINNED)


def test_table_is_consistent():
    names = [w.name for w in WEIGHTS]
    assert len(names) == len(set(names))
    for row in EXTRACTORS.values():
        assert weights_named(row.weights)


def test_weights_need_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from ldmbench.features import list_weights\n"
        "from ldmbench.catalog.extractors import extractor_named\n"
        "assert list_weights() and extractor_named('shapes-net')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
