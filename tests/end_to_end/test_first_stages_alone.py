"""First stages alone through the command: a KL, an AutoencoderDC and code of the user's own."""

import json

import pytest
import tiny
import torch
from diffusers import AutoencoderDC, AutoencoderKL, VQModel

from ldmbench.cli import outcome

SUITE = """
suite: loaded
data: {shapes: {kind: shapes, resolution: 32, train: 64, reference: 32}}
models:
  own: {kind: call, target: "coder:Coder"}
metrics: [fid, rfid, psnr, intrinsic_dimension, intrinsic_scale]
probes: [flops]
reconstruction_count: 32
mlflow: {enabled: false}
"""
CODER = """
class Coder:
    def encode(self, x):
        return x[:, :, ::2, ::2]

    def decode(self, z):
        return z.repeat_interleave(2, 2).repeat_interleave(2, 3)
"""
VAES = "models.vaes={kind: load, path: [./kl, ./dc], latents: [mode, sample]}"


def write_first_stages(folder):
    torch.manual_seed(0)
    AutoencoderKL(
        block_out_channels=(8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, norm_num_groups=4, scaling_factor=0.4,
        shift_factor=0.3,
    ).save_pretrained(folder / "kl")  # fmt: skip
    AutoencoderDC(
        latent_channels=4, attention_head_dim=4, encoder_block_types=("ResBlock",) * 3,
        decoder_block_types=("ResBlock",) * 3, encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8), encoder_layers_per_block=(1, 1, 1),
        decoder_layers_per_block=(1, 1, 1), encoder_qkv_multiscales=((),) * 3,
        decoder_qkv_multiscales=((),) * 3,
    ).save_pretrained(folder / "dc")  # fmt: skip


@pytest.mark.slow
def test_first_stages_from_disk_and_of_ones_own(tmp_path):
    write_first_stages(tmp_path)
    (tmp_path / "coder.py").write_text(CODER)
    suite, store = tiny.write_suite(tmp_path, SUITE), tmp_path / "store"
    assert outcome(["run", str(suite), "--set", VAES, "--store", str(store)]) == 0
    (file,) = store.glob("runs/*/records.jsonl")
    records = {r["cell"]["id"]: r for r in map(json.loads, file.read_text().splitlines())}
    assert set(records) == {
        "vaes[path=kl,latents=mode]/shapes", "vaes[path=kl,latents=sample]/shapes",
        "vaes[path=dc]/shapes", "own/shapes",
    }  # fmt: skip
    for record in records.values():
        scores = {s["name"]: s for s in record["scores"]}
        assert record["cell"]["sampler"] is record["cell"]["steps"] is None
        assert scores["fid"]["value"] is None
        assert scores["fid"]["reason"] == "a first stage alone has no samples"
        assert scores["rfid"]["value"] > 0
        assert scores["intrinsic_dimension"]["value"] > 0
        assert scores["intrinsic_scale"]["low"] < scores["intrinsic_scale"]["high"]
        assert "|neighbours:20-of-64-shapes32-train" in scores["intrinsic_scale"]["signature"]
        measures = {m["name"]: m for m in record["measures"]}
        assert 0 < measures["latent_high_frequency"]["low"] < 1
    extras = json.loads((file.parent / "extras.json").read_text())
    assert set(extras["spectra"]) == set(records)
    drawn = records["vaes[path=kl,latents=sample]/shapes"]["scores"]
    assert any("|posterior:sample|" in score["signature"] for score in drawn)
    base = ["--store", str(store), "--baseline", str(tmp_path / "base.json")]
    assert outcome(["accept", "--store", str(store), "-o", str(tmp_path / "base.json")]) == 0
    assert outcome(["gate", *base]) == 0


TRAINED = """
suite: trained
data: {shapes: {kind: shapes, resolution: 32, train: 64, reference: 32}}
models:
  vq:
    autoencoder: {f: 2, regularization: vq, codebook: 16, channels: 8, batch: 4, budget: {steps: 4}}
    denoiser: null
  own: {kind: call, target: "coder:Coder"}
metrics: [rfid, psnr]
probes: []
reconstruction_count: 32
mlflow: {enabled: false}
"""


def scores_of(store, cell):
    (file,) = store.glob("runs/*/records.jsonl")
    (record,) = (
        r for r in map(json.loads, file.read_text().splitlines()) if r["cell"]["id"] == cell
    )
    return {s["name"]: s["value"] for s in record["scores"]}


@pytest.mark.slow
def test_an_exported_first_stage_has_the_same_scores(tmp_path, capsys):
    (tmp_path / "coder.py").write_text(CODER)
    store, again, out = tmp_path / "store", tmp_path / "again", tmp_path / "vq-f2"
    suite = tiny.write_suite(tmp_path, TRAINED)
    run = ["run", str(suite), "--store"]
    assert outcome([*run, str(store)]) == 0
    capsys.readouterr()
    export = ["export", "--store", str(store)]
    assert outcome([*export, "vq/shapes", str(out)]) == 0
    assert "diffusers' VQModel.from_pretrained" in capsys.readouterr().err
    VQModel.from_pretrained(out)
    loaded = ["--only", "vq/*", "--set", f"models.vq={{kind: load, path: '{out}'}}"]
    assert outcome([*run, str(again), *loaded]) == 0
    assert scores_of(again, "vq/shapes") == scores_of(store, "vq/shapes")
    capsys.readouterr()
    for cell, options, found in (
        ("vq/shapes", ["--raw"], "one set of weights is kept"),
        ("own/shapes", [], "is your own code"),
    ):
        assert outcome([*export, cell, str(tmp_path / "no"), *options]) == 2
        assert found in capsys.readouterr().err
