"""One's own first stage under a new denoiser: its latents, its key, its export, and bad input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from diffusers import AutoencoderKL, DDIMPipeline, DDIMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

import ldmbench
from ldmbench.cli import outcome
from ldmbench.errors import SuiteError
from ldmbench.models import load
from ldmbench.plan.build import build_plan
from ldmbench.sample import initial_noise
from ldmbench.stages.latents import MIRRORED_SEED, POSTERIOR_SEED
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

GOLDEN = Path(__file__).parents[1] / "golden" / "compvis"
SUITE = """
suite: own
data:
  shapes: {kind: shapes, resolution: 32, train: 64, reference: 32}
models:
  ldm:
    autoencoder: {path: PATH}
    denoiser: {channels: 8, conditioning: none, batch: 4, warmup: 1}
    budget: {steps: 3}
sample: {steps: 2, count: 8, micro_batch: 8}
metrics: [fid]
probes: [flops, reconstruction, device_days]
reconstruction_count: 32
mlflow: {enabled: false}
"""


def first_stages(folder):
    """Write a diffusers AutoencoderKL with a shift, and an exported model of ours."""
    torch.manual_seed(0)
    kl = AutoencoderKL(
        block_out_channels=(8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, norm_num_groups=4, scaling_factor=0.4,
        shift_factor=0.3,
    )  # fmt: skip
    kl.save_pretrained(folder / "kl")
    shipped = SUITE.replace("path: PATH", "weights: shipped")
    suite = tiny.write_suite(folder, shipped, "shipped.yaml")
    assert outcome(["run", str(suite), "--store", str(folder / "first")]) == 0
    exported = ["export", "ldm/*", str(folder / "exported"), "--store", str(folder / "first")]
    assert outcome(exported) == 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    first_stages(folder)
    places = f"[kl, {GOLDEN}/vq-f4, exported, {GOLDEN}/kl-f8]"
    text = SUITE.replace("PATH", f"{places}, latents: [mode, sample], flip: true")
    suite = tiny.write_suite(folder, text)
    assert outcome(["run", str(suite), "--store", str(folder / "store")]) == 0
    return folder, ldmbench.open(store=folder / "store"), build_plan(load_suite(suite))


def arrays(folder, plan, cell, name):
    """Return an array of the latents that a cell's denoiser was trained on."""
    denoiser = plan.by_key()[cell.stages["denoiser"]]
    parts = sorted((folder / "store" / "latents" / denoiser.inputs["latents"].key).rglob(name))
    return np.concatenate([np.load(part) for part in parts])


def pixels(folder, plan, cell):
    """Return its training images, NCHW in [-1, 1]."""
    denoiser = plan.by_key()[cell.stages["denoiser"]]
    found = folder / "store" / "dataset" / denoiser.inputs["images"].key
    images = np.concatenate([np.load(p) for p in sorted(found.rglob("images.npy"))])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


@pytest.mark.slow
def test_latents_are_those_of_the_loaded_first_stage_to_the_digit(finished):
    folder, run, plan = finished
    places = {"kl": folder / "kl", "vq-f4": GOLDEN / "vq-f4", "exported": folder / "exported"}
    for place, path in places.items():
        model = load(path)
        for posterior in ("mode", "sample"):
            cell = next(c for c in run.cells if f"path={place},latents={posterior}" in c.id)
            x = pixels(folder, plan, cell)
            scale, mean = (0.4, 0.3) if place == "kl" else (1.0, 0.0)
            drawn = posterior == "sample"
            for name, seed in (("latents.npy", POSTERIOR_SEED), ("mirrored.npy", MIRRORED_SEED)):
                shown = x.flip(3) if name == "mirrored.npy" else x
                shape = model.shape_of(32)
                noise = initial_noise(range(64), seed=seed, shape=shape) if drawn else None
                parts = [
                    model.encode(
                        shown[i : i + 32], noise=None if noise is None else noise[i : i + 32]
                    )
                    for i in (0, 32)
                ]
                expected = (torch.cat(parts) - mean) * scale
                assert np.array_equal(arrays(folder, plan, cell, name), expected.numpy())
            assert cell.f == model.info.f


@pytest.mark.slow
def test_a_scale_that_no_file_states_is_measured_and_said(finished):
    folder, run, plan = finished
    cell = next(c for c in run.cells if "path=kl-f8,latents=mode" in c.id)
    latents = arrays(folder, plan, cell, "latents.npy")
    assert latents.std(ddof=1) == pytest.approx(1, abs=1e-4)
    record = next(r for r in run.records if r.cell.id == cell.id)
    assert any("states no scale" in text for text in record.warnings)
    told = record.cell.first_stage_from
    assert told.startswith("model.ckpt [state_dict] (raw), compvis:AutoencoderKL: f = 8")
    assert told.endswith("4 channels, scale measured")
    days = {m.name: m for m in record.measures}
    assert days["total_device_days"].value is None
    assert "trained elsewhere" in days["total_device_days"].reason


@pytest.mark.slow
def test_the_export_of_a_cell_encodes_and_samples_as_the_store_does(finished, tmp_path):
    folder, run, plan = finished
    for place in ("kl", "vq-f4", "exported"):
        cell = next(c for c in run.cells if f"path={place},latents=mode" in c.id)
        out = tmp_path / place
        store = ["--store", str(folder / "store")]
        assert outcome(["export", cell.id, str(out), *store]) == 0
        model = load(out)
        first = model.encode(pixels(folder, plan, cell)[:32])
        assert np.array_equal(first.numpy(), arrays(folder, plan, cell, "latents.npy")[:32])
        named = json.loads((out / "model_index.json").read_text())["_class_name"]
        assert named == ("DiffusionPipeline" if place == "kl" else "LDMPipeline")


def planned(folder, text, *sets):
    loaded = load_suite(tiny.write_suite(folder, text), sets)
    check_suite(loaded)
    return build_plan(loaded)


def keys(plan):
    return {
        kind: {s.key for s in plan.stages if s.kind == kind} for kind in ("autoencoder", "latents")
    }


def test_a_path_is_no_part_of_the_key_and_models_that_share_a_first_stage_share_its_stages(
    tmp_path,
):
    shutil.copytree(GOLDEN / "vq-f4", tmp_path / "one")
    shutil.copytree(GOLDEN / "vq-f4", tmp_path / "two")
    more = """
  other:
    autoencoder: {of: ldm}
    denoiser: {channels: 16, conditioning: none, warmup: 1}
    budget: {steps: 3}
sample:"""
    text = SUITE.replace("\nsample:", more)
    one, two = (planned(tmp_path, text.replace("PATH", name)) for name in ("one", "two"))
    assert keys(one) == keys(two)
    assert {kind: len(found) for kind, found in keys(one).items()} == {
        "autoencoder": 1,
        "latents": 1,
    }
    assert len({c.stages["denoiser"] for c in one.cells}) == 2
    flipped = planned(tmp_path, text.replace("PATH", "one"), "models.other.autoencoder.flip=true")
    assert len(keys(flipped)["latents"]) == 2
    plain = planned(tmp_path, SUITE.replace("PATH", "one, latents: mode"))
    assert keys(plain)["latents"] == keys(one)["latents"], "a VQ has no posterior"


@pytest.mark.parametrize(
    ("autoencoder", "said"),
    [
        ("path: vq, budget: {steps: 3}, kl_weight: 1", "found budget, kl_weight beside path"),
        ("path: vq, f: 4", "found f beside path"),
        ("ema: false", "found ema without path"),
        ("path: nowhere", "found 'nowhere', which is not there"),
        ("path: pixels", "works on pixels"),
        ("path: vq, scale: 2", None),
        ("path: kl, scale: 2", "states the scale of its latents itself"),
        ("path: decoder", "a decoder without its encoder"),
        ("path: deep", "whose f = 64 is impossible at resolution 32"),
        ("of: nobody", "found 'nobody'"),
        ("of: ldm", "another model of the suite"),
        ("f: 1, flip: true", "has no latents to encode once"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(autoencoder, said, tmp_path):
    shutil.copytree(GOLDEN / "vq-f4", tmp_path / "vq")
    kinds = {"kl": 3, "deep": 7}
    for name, levels in kinds.items():
        AutoencoderKL(
            block_out_channels=(4,) * levels, down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels, norm_num_groups=4,
        ).save_pretrained(tmp_path / name)  # fmt: skip
    shutil.copytree(tmp_path / "kl", tmp_path / "decoder")
    file = tmp_path / "decoder" / "diffusion_pytorch_model.safetensors"
    save_file({n: t for n, t in load_file(file).items() if "encoder" not in n}, file)
    unet = UNet2DModel(
        sample_size=32, block_out_channels=(8,), down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",), norm_num_groups=4,
    )  # fmt: skip
    DDIMPipeline(unet, DDIMScheduler()).save_pretrained(tmp_path / "pixels")
    text = SUITE.replace("path: PATH", autoencoder)
    if said is None:
        assert planned(tmp_path, text).cells
        return
    with pytest.raises(SuiteError) as found:
        planned(tmp_path, text)
    assert said in str(found.value)
    assert len(str(found.value).splitlines()) == 1
    assert "autoencoder" in str(found.value)
