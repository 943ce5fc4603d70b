"""The worked example of docs/extending.md: an installed package brings all four, and bad ones."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import forked
import numpy as np
import pytest
import tiny

from ldmbench.cli import outcome
from ldmbench.errors import SuiteError
from ldmbench.plan.build import build_plan
from ldmbench.records.runs import Runs
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

pytestmark = pytest.mark.slow

DOCS = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()


def block(title):
    """Return the code block of the docs that begins with a comment of this name."""
    found = re.search(rf"```\w+\n# {re.escape(title)}\n(.*?)```", DOCS, re.DOTALL)
    assert found, title
    return found[1]


SMALL = """
sample: {steps: 2, count: 8, micro_batch: 8}
probes: [throughput]
speed: {batch: 2, repeats: 2}
mlflow: {enabled: false}
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Install the docs' package: its module, and the dist-info that pip would write."""
    site = tmp_path / "site"
    info = site / "stripes_bench-1.2.dist-info"
    info.mkdir(parents=True)
    (site / "stripes_bench.py").write_text(block("stripes_bench.py"))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stripes-bench\nVersion: 1.2\n")
    points = block("pyproject.toml").replace("project.entry-points.", "").replace('"', "")
    (info / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))  # which the workers inherit
    yield site
    sys.modules.pop("stripes_bench", None)


def suite_at(folder):
    text = re.sub(r"\n(sample|probes|mlflow):.*", "", "\n" + block("suite.yaml"))
    return tiny.write_suite(folder, text + SMALL)


def test_the_worked_example_brings_all_four(package, tmp_path, capsys):
    suite, store = suite_at(tmp_path), tmp_path / "store"
    assert outcome(["run", str(suite), "--store", str(store)]) == 0
    all_runs = Runs(store)
    (record,) = all_runs.records(all_runs.find().id)
    scores = {s.name: s for s in record.scores}
    assert set(scores) == {"fid", "contrast", "spread"}
    assert scores["contrast"].low <= scores["contrast"].value <= scores["contrast"].high
    assert scores["spread"].value is not None
    assert scores["spread"].low is None
    assert "|feat:grid@" in scores["fid"].signature
    assert "|ref:stripes32-reference@" in scores["fid"].signature
    assert "|code:" in scores["contrast"].signature
    assert record.cell.digest

    capsys.readouterr()
    assert outcome(["run", str(suite), "--store", str(store), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["executed"] == 0

    for what, name in [("models", "wavy"), ("datasets", "stripes"), ("metrics", "contrast"),
                       ("extractors", "grid")]:  # fmt: skip
        assert outcome(["list", what, "--json"]) == 0
        assert "from stripes-bench 1.2" in json.loads(capsys.readouterr().out)[name]


def test_another_source_is_another_key(package, tmp_path):
    suite = suite_at(tmp_path)

    def keys():
        return {s.key for s in build_plan(load_suite(suite)).stages if s.local.call}

    before = keys()
    assert keys() == before
    source = package / "stripes_bench.py"
    source.write_text(source.read_text() + "\nMORE = 1\n")
    assert not keys() & before


def test_helpers_and_named_files_belong_to_the_key(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from helper import K\nFILES = ['w.bin']\ndef mine(noise, **told):\n    return K\n"
    )
    (tmp_path / "helper.py").write_text("K = 1\n")
    (tmp_path / "w.bin").write_bytes(b"1")
    text = "suite: s\ndata: {shapes: {kind: shapes, resolution: 16}}\n"
    text += "models: {m: {kind: call, target: 'mine:mine'}}\n" + SMALL
    suite = tiny.write_suite(tmp_path, text)

    def key():
        return build_plan(load_suite(suite)).cells[0].stages["samples"]

    before = key()
    (tmp_path / "helper.py").write_text("K = 2\n")
    after = key()
    (tmp_path / "w.bin").write_bytes(b"2")
    assert len({before, after, key()}) == 3
    (tmp_path / "w.bin").unlink()
    with pytest.raises(SuiteError, match=r"names 'w.bin', which is not a file"):
        check_suite(load_suite(suite))


def test_a_broken_entry_point_is_listed_with_one_sentence(package, capsys):
    points = package / "stripes_bench-1.2.dist-info" / "entry_points.txt"
    points.write_text("[ldmbench.metrics]\nlost = nowhere:lost\n")
    assert outcome(["list", "metrics", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["lost"]
    assert "broken: found 'nowhere:lost', but there is no module 'nowhere'" in said


BAD = """
import sys
import numpy as np

def good(noise, *, steps, cond, guidance, seeds):
    return np.full((len(noise), 16, 16, 3), 9, np.uint8)
def raises(noise, **told):
    raise RuntimeError("the lamp is out")
def floats(noise, **told):
    return np.full((len(noise), 16, 16, 3), np.nan)
def narrow(noise, **told):
    return np.zeros((len(noise), 8, 16, 3), np.uint8)
def nothing(noise, **told):
    return None
def leaves(noise, **told):
    sys.exit(3)
class Unmade:
    def __init__(self):
        raise OSError("no weights here")
    def sample(self, noise, **told):
        return None
def many(images):
    return np.zeros(3)
"""
SAID = {
    "raises": "bad:raises failed: RuntimeError: the lamp is out (bad.py:8)",
    "floats": "bad:floats returned (8, 16, 16, 3) float64; it must return (8, 16, 16, 3) uint8",
    "narrow": "bad:narrow returned (8, 8, 16, 3) uint8; it must return (8, 16, 16, 3)",
    "nothing": "bad:nothing returned () object; it must return",
    "leaves": "bad:leaves failed: SystemExit: 3 (bad.py:16)",
    "Unmade": "bad:Unmade cannot be made: OSError: no weights here (bad.py:19)",
}


def test_bad_code_fails_its_cell_with_one_sentence_and_not_the_run(tmp_path):
    (tmp_path / "bad.py").write_text(BAD)
    names = ["good", *SAID]
    models = "".join(f"  {n}: {{kind: call, target: 'bad:{n}'}}\n" for n in names)
    text = "suite: bad\ndata: {shapes: {kind: shapes, resolution: 16, reference: 8}}\n"
    text += f"models:\n{models}metrics: [fid]\n{SMALL}".replace(
        "probes: [throughput]", "probes: []"
    )
    suite, store = tiny.write_suite(tmp_path, text), tmp_path / "store"
    assert outcome(["run", str(suite), "--store", str(store)]) == 4
    all_runs = Runs(store)
    records = {r.cell.model: r for r in all_runs.records(all_runs.find().id)}
    assert records["good"].status == "done"
    for name, sentence in SAID.items():
        assert records[name].status == "failed"
        assert sentence in records[name].reason


def test_code_that_hangs_ends_with_control_c(tmp_path):
    (tmp_path / "hangs.py").write_text(
        textwrap.dedent("""
        import pathlib, signal, time
        def hangs(noise, **told):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            pathlib.Path(__file__).with_name("began").touch()
            while True:
                time.sleep(1)
        """)
    )
    text = "suite: h\ndata: {shapes: {kind: shapes, resolution: 16, reference: 8}}\n"
    text += "models: {m: {kind: call, target: 'hangs:hangs'}}\nmetrics: [fid]\n" + SMALL
    suite = tiny.write_suite(tmp_path, text)
    command = [*forked.DOOR, "run", str(suite), "--store", str(tmp_path / "s")]
    run = subprocess.Popen(
        command,
        stderr=subprocess.DEVNULL,
        env=dict(os.environ),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # nohup ignores it
    )
    end = time.monotonic() + 300
    while not (tmp_path / "began").exists():
        assert run.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=120) == 130


COUNTED = """
import numpy as np

class Counted:
    def __init__(self):
        self.labels = {"train": np.arange(600) // 512, "reference": np.zeros(40, int),
                       "validation": np.arange(20) // 12}

    def batch(self, indices, *, split, resolution):
        labels = self.labels[split][indices]
        images = np.zeros((len(labels), resolution, resolution, 3), np.uint8)
        return {"images": images + (indices[:, None, None, None] % 251).astype(np.uint8),
                "labels": labels}
"""
OWN = "{kind: call, target: 'counted:Counted', resolution: 16, train: 600, reference: 40"


def counted(folder, more=""):
    (folder / "counted.py").write_text(COUNTED)
    text = tiny.SUITE.replace("{kind: shapes, resolution: 16, train: 32, reference: 32", OWN + more)
    text = text.replace("denoiser: {", "denoiser: {conditioning: class, ")
    return tiny.write_suite(folder, text), folder / "store"


def test_a_dataset_is_asked_for_the_images_that_it_has(tmp_path):
    suite, store = counted(tmp_path, ", validation: 20")
    assert outcome(["run", str(suite), "--store", str(store)]) == 0
    lengths = [len(np.load(f)) for f in (store / "dataset").rglob("images.npy")]
    assert sorted(lengths) == [40, 88, 512]
    (embedder,) = (store / "denoiser").rglob("class_embedder/config.json")
    # Two classes, of which the second is of the last images alone; then the null class.
    assert json.loads(embedder.read_text())["null_class"] == 2
    labels = next(
        np.load(f) for f in (store / "dataset").rglob("labels.npy")
        if not f.with_name("images.npy").exists()
    )  # fmt: skip
    assert np.array_equal(labels[:40], np.tile(np.arange(20) // 12, 2))


def test_a_label_beyond_the_classes_of_the_suite_is_refused(tmp_path):
    suite, store = counted(tmp_path, ", validation: 20, classes: 1")
    assert outcome(["plan", str(suite), "--store", str(store)]) == 2  # one class tells nothing
    suite.write_text(suite.read_text().replace("conditioning: class", "conditioning: none"))
    assert outcome(["run", str(suite), "--store", str(store)]) == 4
    all_runs = Runs(store)
    reasons = {r.reason for r in all_runs.records(all_runs.find().id)}
    assert any("counted:Counted returned label 1 in split" in reason for reason in reasons), reasons
    assert any("with classes: 1 in the suite labels lie in [0, 1)" in r for r in reasons)


def test_how_many_images_a_dataset_has_is_part_of_its_key(tmp_path):
    suite, _ = counted(tmp_path)

    def keys(*sets):
        plan = build_plan(load_suite(suite, sets))
        return {s.params.keyed()["split"]: s.key for s in plan.stages if s.kind == "dataset"}

    before = keys()
    more = keys("data.shapes.train=700")
    assert more["train"] != before["train"]
    assert more["reference"] == before["reference"]
    assert keys("data.shapes.validation=30")["prompts"] != before["prompts"]
    assert keys("sample.count=99") == before
