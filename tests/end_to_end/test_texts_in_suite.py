"""A frozen text encoder in a suite: contexts in the store, shared, and none where they are many."""

import numpy as np
import pytest
from safetensors.numpy import load_file
from written_texts import write_encoder

import ldmbench
from ldmbench.plan import contexts

NEAR = 2e-4
"""Of the largest weight."""
SUITE = """
suite: texts
data:
  shapes: {kind: shapes, resolution: 16, train: 24, reference: 16}
models:
  text:
    autoencoder: {f: 4, weights: shipped, flip: true}
    denoiser: {channels: 8, batch: 8, multipliers: [1, 1], conditioning: caption,
      text_encoder: ./bert, caption_tokens: 12, ema_decay: 0.5}
    budget: {steps: 4}
sample: {steps: 2, count: 16, micro_batch: 16, guidance: [1, 3]}
metrics: [fid]
probes: [device_days]
mlflow: {enabled: false}
"""


def made(run, kind, name):
    """Return the files of a stage of each cell, in the order of cells."""
    store = run._all_runs.root
    folders = dict.fromkeys(store / kind / record.keys[kind] for record in run.records)
    return [file for folder in folders for file in sorted(folder.rglob(name))]


@pytest.mark.slow
def test_trainings_and_samples_are_alike_with_and_without_contexts(tmp_path, monkeypatch):
    write_encoder("bert", tmp_path / "bert")
    (tmp_path / "texts.yaml").write_text(SUITE)
    kept = ldmbench.run(tmp_path / "texts.yaml", store=tmp_path / "kept")
    assert not kept.failed
    folders = [path for path in (tmp_path / "kept" / "contexts").iterdir() if path.is_dir()]
    assert len(folders) == 2  # of training images, and of the prompts of all cells
    monkeypatch.setattr(contexts, "KEPT_BYTES", 0)
    anew = ldmbench.run(tmp_path / "texts.yaml", store=tmp_path / "anew")
    assert not anew.failed
    assert not (tmp_path / "anew" / "contexts").exists()
    [one], [other] = (
        made(r, "denoiser", "diffusion_pytorch_model.safetensors") for r in (kept, anew)
    )
    weights, again = load_file(one), load_file(other)
    largest = max(abs(value).max() for value in weights.values())
    assert max(abs(value - again[name]).max() for name, value in weights.items()) <= NEAR * largest
    samples, others = (made(r, "samples", "images.npy") for r in (kept, anew))
    assert len(samples) == len(others) == 2
    for first, second in zip(samples, others):
        levels = np.load(first).astype(int) - np.load(second)
        assert abs(levels).mean() <= 0.01
