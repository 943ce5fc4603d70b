"""A model that a suite trained, exported and put into a second suite, gives the same numbers."""

import json

import numpy as np
import pytest
import tiny

import ldmbench
from ldmbench.cli import outcome
from ldmbench.models import load
from ldmbench.sample import initial_noise

pytestmark = pytest.mark.slow
CELL = "ldm/shapes/ddim-3/g2/s0"
HEAD = """
data:
  shapes: {kind: shapes, resolution: 16, train: 64, reference: 32}
sample: {steps: 3, guidance: 2.0, count: 16, micro_batch: 8}
metrics: [fid, precision]
probes: [flops, coding, reconstruction]
reconstruction_count: 32
mlflow: {enabled: false}
"""
TRAINED = f"""
suite: trained
{HEAD}
models:
  ldm:
    autoencoder: {{f: 4, weights: shipped}}
    denoiser: {{channels: 8, context_channels: 8, batch: 4, warmup: 1, checkpoints: [0.5]}}
    budget: {{steps: 4}}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    suite, store = tiny.write_suite(folder, TRAINED, "trained.yaml"), folder / "store"
    assert outcome(["run", str(suite), "--store", str(store)]) == 0
    return folder, store, ldmbench.open(store=store)


def images_of(store, record):
    parts = sorted((store / "samples" / record.keys["samples"]).rglob("images.npy"))
    return np.concatenate([np.load(part) for part in parts])


def numbers(record):
    scores = {s.name: (s.value, s.low, s.high) for s in record.scores}
    named = ("flops_per_image", "evaluations", "rate", "bits_per_dim", "parameters")
    return scores | {m.name: m.value for m in record.measures if m.name in named}


def test_a_second_suite_gives_the_same_numbers(finished, capsys):
    folder, store, run = finished
    capsys.readouterr()
    command = ["export", "ldm/*", str(folder / "out"), "--store", str(store)]
    assert outcome(command) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(folder / "out")
    assert "ldmbench.load" in said.err
    second = f"suite: second\n{HEAD}\nmodels: {{ldm: {{kind: load, path: ./out}}}}\n"
    suite = tiny.write_suite(folder, second, "second.yaml")
    assert outcome(["run", str(suite), "--store", str(store)]) == 0
    (record,), (other,) = run.records, ldmbench.open(store=store).records
    assert np.array_equal(images_of(store, record), images_of(store, other))
    found = numbers(record)
    assert found["fid"][0] > 0
    assert numbers(other) == found
    assert outcome([*command, "--run", run.id]) == 2
    assert "not empty" in capsys.readouterr().err
    assert outcome(command) == 2  # of the last run, whose model was loaded
    assert "`ldmbench convert" in capsys.readouterr().err


def test_samples_of_the_cell_are_those_of_the_exported_model(finished):
    folder, store, run = finished
    told = run.export(CELL, folder / "api")
    assert (told.weights, told.checkpoint, told.pipeline) == ("ema", 1.0, None)
    model, stored = load(told.folder), images_of(store, run.records[0])
    prompts = next((store / "samples" / run.records[0].keys["samples"]).rglob("captions.json"))
    captions = json.loads(prompts.read_text())
    noise = initial_noise(range(8), seed=0, shape=model.info.latent_shape)
    made = model.sample(noise, steps=3, guidance=2.0, cond=captions[:8])
    assert np.array_equal(made, stored[:8])


def test_kept_and_raw_weights(finished):
    folder, _, run = finished
    weights = {}
    for name, how in {"end": {}, "half": {"checkpoint": 0.5}, "raw": {"raw": True}}.items():
        told = run.export("ldm/*", folder / name, **how)
        weights[name] = (told.folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    assert len(set(weights.values())) == 3
    origin = json.loads((folder / "half" / "ldmbench.json").read_text())["origin"]
    assert origin == {"run": run.id, "cell": CELL, "checkpoint": 0.5}


@pytest.mark.parametrize(
    ("cell", "how", "said"),
    [
        ("lmd/shapes/ddim-3/g2/s0", {}, "did you mean 'ldm/shapes/ddim-3/g2/s0'"),
        ("ldm/*", {"checkpoint": 0.25}, "there are: 0.5, 1"),
    ],
)
def test_what_is_not_there_is_said(finished, tmp_path, cell, how, said):
    with pytest.raises(ldmbench.InputError, match=said):
        finished[2].export(cell, tmp_path / "out", **how)
    assert not (tmp_path / "out").exists()
