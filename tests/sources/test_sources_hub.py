"""Hub ids: the cache as the client lays it out, a loopback hub, and nothing at all offline."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from ldmbench import errors
from ldmbench.models import load
from ldmbench.sources.models.hub import wanted
from ldmbench.sources.models.peek import model_digest

GOLDEN = Path(__file__).parents[1] / "golden" / "diffusers" / "ldm"
NAME, COMMIT = "somebody/ldm-tiny", "0123456789abcdef0123456789abcdef01234567"
FILES = {p.relative_to(GOLDEN).as_posix(): p for p in GOLDEN.rglob("*") if p.is_file()}


def test_one_set_of_weights_a_component_is_wanted():
    files = [
        "model_index.json",
        "README.md",
        "unet/config.json",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.bin",
        "text_encoder/model.safetensors.index.json",
        "text_encoder/model-00001-of-00002.safetensors",
        "text_encoder/model-00002-of-00002.safetensors",
        "text_encoder/model.fp16-00001-of-00001.safetensors",
        "safety_checker/model.safetensors",
        "tokenizer/merges.txt",
    ]
    found = set(wanted(files))
    assert "unet/diffusion_pytorch_model.safetensors" in found
    assert "vae/diffusion_pytorch_model.bin" in found
    assert "text_encoder/model-00002-of-00002.safetensors" in found
    assert "tokenizer/merges.txt" in found
    assert not found & {files[1], files[3], files[5], files[11], files[12]}


def test_a_repository_of_a_checkpoint_gives_it_and_its_config():
    files = ["model.ckpt", "model.safetensors", "config.yaml", "other.ckpt", "vocab.txt", "a.png"]
    assert set(wanted(files)) == {"model.safetensors", "config.yaml", "vocab.txt"}
    assert wanted(["only.ckpt", "only.safetensors", "optimizer.bin"]) == ["only.safetensors"]
    with pytest.raises(errors.InputError, match=r"2 checkpoints \(step-1\.ckpt, step-2\.ckpt\)"):
        wanted(["step-1.ckpt", "step-2.ckpt", "config.yaml"])


def cache(home, *, without=()):
    """Lay out a cache as huggingface_hub does: blobs, snapshots of links, refs."""
    root = home / "hub" / ("models--" + NAME.replace("/", "--"))
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    (root / "blobs").mkdir()
    for name, path in FILES.items():
        if name in without:
            continue
        blob = root / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copyfile(path, blob)
        link = root / "snapshots" / COMMIT / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))


CHILD = """
import socket, sys
opened = []
real = socket.socket.connect
def connect(self, address):
    opened.append(address)
    return real(self, address)
socket.socket.connect = connect
from ldmbench.errors import InputError
from ldmbench.sources.models.peek import model_digest
from ldmbench.sources.models.hub import snapshot
try:
    print(model_digest(snapshot(sys.argv[1])))
except InputError as error:
    print("InputError:", error)
assert "torch" not in sys.modules
print(len(opened))
"""


def child(home, **env):
    """Fetch a hub id in a fresh process; return what it printed and how often it connected."""
    told = {"HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "LDMBENCH_"))}
    kept.pop("HTTP_PROXY", None), kept.pop("http_proxy", None)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, NAME],
        env=kept | told | {"NO_PROXY": "*"} | env,
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *said, connections = done.stdout.strip().splitlines()
    return " ".join(said), int(connections)


def test_a_cached_model_loads_without_a_connection(tmp_path):
    cache(tmp_path)
    said, connections = child(tmp_path, LDMBENCH_OFFLINE="1")
    assert said == model_digest(GOLDEN)
    assert connections == 0


def test_a_hub_id_loads(tmp_path, monkeypatch):
    cache(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    model = load(NAME)
    assert model.info.digest == model_digest(GOLDEN)
    assert model.info.source == "diffusers:LDMPipeline"


def test_offline_fails_closed_and_names_what_is_missing(tmp_path):
    lost = "unet/diffusion_pytorch_model.safetensors"
    cache(tmp_path, without=(lost,))
    said, connections = child(tmp_path, LDMBENCH_OFFLINE="1")
    assert said.startswith("InputError:")
    assert "this is offline: in the hub's cache unet is missing" in said
    assert connections == 0


def test_nothing_cached_is_refused_offline(monkeypatch, tmp_path):
    monkeypatch.setenv("LDMBENCH_OFFLINE", "1")
    with pytest.raises(errors.InputError, match="this is offline"):
        load("somebody/ldm-nowhere")
    with pytest.raises(errors.InputError, match="is not there"):
        load("/no/such/place")


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's interface as a download needs."""

    asked: ClassVar[list[str]] = []

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        path = self.path.partition("?")[0]
        type(self).asked.append(path)
        if path.startswith(f"/api/models/{NAME}/tree/"):
            listed = [
                {"type": "file", "path": n, "size": p.stat().st_size, "oid": oid(p)}
                for n, p in FILES.items()
            ]
            self.reply(json.dumps(listed).encode(), body)
        elif path.startswith(f"/api/models/{NAME}"):
            told = {"id": NAME, "sha": COMMIT, "siblings": [{"rfilename": n} for n in FILES]}
            self.reply(json.dumps(told).encode(), body)
        elif "/resolve/" in path:
            found = FILES[path.partition("/resolve/")[2].partition("/")[2]]
            self.reply(found.read_bytes(), body, ETag=f'"{oid(found)}"')
        else:
            self.send_error(404)

    def reply(self, data, body, **headers):
        self.send_response(200)
        for name, value in {
            "X-Repo-Commit": COMMIT,
            "Content-Length": len(data),
            **headers,
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *unused):
        pass


def oid(path):
    return hashlib.sha1(path.read_bytes()).hexdigest()


def test_a_model_comes_from_a_hub_once(tmp_path):
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        endpoint = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
        said, connections = child(tmp_path, **endpoint)
        assert said == model_digest(GOLDEN), said
        assert connections > 0
        assert not any(p.endswith("golden.npz") for p in Hub.asked)
        said, connections = child(tmp_path, **endpoint)
        assert said == model_digest(GOLDEN)
        assert connections == 0
    finally:
        server.shutdown()
        server.server_close()
