"""Keys of finished artefacts: they stay what they were, however parameters are held in code.

Where a stage's version is raised, or a key is meant to move, write the file anew:
`PYTHONPATH=tests python tests/plan/test_plan_keys.py`.
"""

import base64
import json
import sys
import tempfile
from pathlib import Path

import pytest

from ldmbench.canonical import digest
from ldmbench.pipeline import STAGES
from ldmbench.plan.build import build_plan
from ldmbench.plan.score import (
    FeatureSource,
    StatisticsSource,
    build_score_plan,
    files_source,
    shapes_source,
)
from ldmbench.schema.protocol import Protocol
from ldmbench.suite.load import load_suite

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "suites").glob("*.yaml"))
KEPT = ROOT / "tests" / "golden" / "keys.json"
PNG = base64.b64decode(  # 8 x 8, grey
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAD0lEQVR42mNowAEYhpYEAILzYAEllbNjAAAAAElF"
    "TkSuQmCC"
)
CODE = """
def batch(indices, *, split, resolution): ...
def sample(noise, *, steps, cond, guidance, seeds): ...
def contrast(images): ...
def spread(features, reference_features): ...
def grid(images): ...
"""
EVERYTHING = f"""
suite: everything
protocol:
  - {{base: shapes-v1, classes: balanced, neighbour_count: 16}}
  - {{base: shapes-v1, extractor: "mine:grid", classes: random}}
data:
  drawn: {{kind: shapes, resolution: 32, train: 32, reference: 32}}
  large: {{kind: shapes, resolution: 64, train: 32, reference: 32, texture: fine}}
  files: {{kind: folder, path: images, resolution: 8, reference: 8, validation: 4, labels: name}}
  mine: {{kind: call, target: "mine:batch", resolution: 32, train: 32, classes: 3,
    options: {{a: 1}}}}
models:
  folder: {{kind: load, path: {ROOT}/tests/golden/diffusers/ldm, data: drawn}}
  zoo: {{kind: load, path: {ROOT}/tests/golden/compvis/ldm-uncond-vqf4, data: large}}
  trained:
    autoencoder: {{f: [1, 4], regularization: [kl, vq]}}
    denoiser: {{conditioning: class, checkpoints: [0.5]}}
    budget: {{steps: 2}}
    data: drawn
  pixel:
    autoencoder: {{f: 1}}
    denoiser: {{conditioning: none, channels: 8, multipliers: [1, 1]}}
    budget: {{images: 20}}
    data: files
  shipped: {{autoencoder: {{weights: shipped, f: 2}}, budget: {{flops: 1.0e9}}, data: drawn}}
  called: {{kind: call, target: "mine:sample", conditioning: class, data: mine, options: {{b: 2}}}}
sample: {{steps: [3, 4], count: 24, micro_batch: 8, timesteps: linspace, seed: [0, 1]}}
metrics: [fid, sfid, kid, inception_score, density, vendi_score, memorization, fd_infinity, lpips,
  clip_score, "mine:contrast", "mine:spread"]
probes: [flops, memory, coding, reconstruction, device_days]
reconstruction_count: 16
"""


def everything(folder):
    """Return the plan of a suite with every kind of data, model and metric."""
    (folder / "images").mkdir()
    for number in range(24):
        (folder / "images" / f"{'ab'[number % 2]}_{number:02d}.png").write_bytes(PNG)
    (folder / "mine.py").write_text(CODE)
    (folder / "suite.yaml").write_text(EVERYTHING)
    return build_plan(load_suite(folder / "suite.yaml"))


def scored():
    """Return plans of images and numbers that were made elsewhere."""
    protocol = Protocol(name="defaults")
    how = {"resolution": 32, "crop": "none", "resize": "none"}
    images = [files_source(n, n, count=40, digest=n * 32, **how) for n in ("ab", "cd", "ef")]
    features = FeatureSource("f", 30, 64, "12" * 32, "shapes-net", "34" * 32, spatial=8,
                             double=True, ref="real@1", precision="bfloat16")  # fmt: skip
    bare = FeatureSource("g", 30, 64, "56" * 32, neighbours=9, neighbours_ref="part@2")
    numbers = StatisticsSource("s", "78" * 32, ("fid", "sfid"))
    every = ("fid", "sfid", "kid", "vendi_score", "inception_score")
    return [
        build_score_plan(images[0], shapes_source(32, 50), protocol, metrics=every),
        build_score_plan(images[0], images[1], protocol, metrics=("fid", "psnr", "lpips",
                         "memorization", "clip_score"), train=images[2], pairs=images[1]),
        build_score_plan(features, bare, protocol, metrics=every),
        build_score_plan(images[0], None, protocol, metrics=("fid", "sfid"), statistics=numbers),
    ]  # fmt: skip


def keys(*plans):
    """Return kind -> how many stages there are, and a digest of their keys."""
    found = {kind: set() for kind in STAGES}
    for plan in plans:
        for stage in plan.stages:
            found[stage.kind].add((stage.key, stage.count))
    return {kind: f"{len(k)} {digest(sorted(k))[:12]}" for kind, k in found.items() if k}


def cases(folder):
    """Yield each case with the keys of its plans."""
    for path in SHIPPED:
        yield path.stem, keys(build_plan(load_suite(path)))
    yield "everything", keys(everything(folder))
    yield "score", keys(*scored())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_keys_of_suites_that_ship_stay(path):
    assert keys(build_plan(load_suite(path))) == json.loads(KEPT.read_text())[path.stem]


def test_keys_of_loaded_and_called_models_and_of_every_metric_stay(tmp_path):
    assert keys(everything(tmp_path)) == json.loads(KEPT.read_text())["everything"]


def test_keys_of_images_that_were_made_elsewhere_stay():
    assert keys(*scored()) == json.loads(KEPT.read_text())["score"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        KEPT.write_text(json.dumps(dict(cases(Path(name))), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{KEPT}\n")
