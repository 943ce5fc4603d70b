"""Every task of released models through a whole suite: conditions from the dataset, guided."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
import compvis_zoo as zoo

from ldmbench.cli import outcome
from ldmbench.data.masks import to_paint
from ldmbench.data.scenes import CLASSES
from ldmbench.data.shapes import render, split_indices
from ldmbench.errors import SuiteError
from ldmbench.models.tasks import Truth, layout_tokens, low_resolution
from ldmbench.plan.build import build_plan
from ldmbench.records.runs import Runs
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

pytestmark = pytest.mark.slow

MODELS = ("classes", "text", "layout", "semantic", "super-resolution", "inpainting")
SUITE = """
suite: tasks
data:
  shapes: {kind: shapes, resolution: 32, train: 16, reference: 16}
models:
%s
sample: {steps: 2, count: 8, micro_batch: 8, guidance: 2.0}
metrics: [fid]
probes: [throughput, flops]
speed: {batch: 2, repeats: 2}
mlflow: {enabled: false}
"""
SIZES = {"classes": ("n_classes", 11, 49), "layout": ("vocab_size", 30, 64),
         "semantic": ("in_channels", 7, 49)}  # fmt: skip


def make(name, folder):
    """Write a checkpoint of a family, wide enough for the 48 classes of shapes."""
    weights = zoo.make(name, folder)
    if name in SIZES:
        field, before, after = SIZES[name]
        config = zoo.config_of(zoo.FAMILIES[name])
        own = dict(config["model"]["params"]["cond_stage_config"])
        own["params"] = {**own["params"], field: after}
        config["model"]["params"]["cond_stage_config"] = own
        for key in [k for k in weights if k.startswith("cond_stage_model.")]:
            shape = [after if n == before else n for n in weights[key].shape]
            if shape != list(weights[key].shape):
                weights[key] = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.1
        zoo.save(folder, weights, config)
    if name == "text":
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "circle", "on", "large"]
        (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return folder


def suite_of(folder, names, **more):
    lines = "".join(f"  {n}: {{kind: load, path: ./{n}{more.get(n, '')}}}\n" for n in names)
    return tiny.write_suite(folder, SUITE % lines)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    for name in MODELS:
        make(name, folder / name)
    suite, store = suite_of(folder, MODELS), folder / "store"
    assert outcome(["run", str(suite), "--store", str(store)]) == 0
    all_runs = Runs(store)
    return folder, store, {r.cell.model: r for r in all_runs.records(all_runs.find().id)}


def test_every_task_is_sampled_scored_timed_and_reported(finished):
    _, store, records = finished
    assert set(records) == set(MODELS)
    for name, record in records.items():
        assert record.status == "done", record.reason
        scores = {s.name: s for s in record.scores}
        assert scores["fid"].value is not None
        assert "|model:compvis-steps," in scores["fid"].signature
        held = name in ("super-resolution", "inpainting")
        assert {"truth_psnr", "truth_ssim"} <= set(scores) if held else len(scores) == 1
        assert {m.name: m.value for m in record.measures}["throughput"] > 0
        assert record.cell.digest
    page = next((store / "reports").glob("*.html")).read_text()
    assert all(name in page for name in MODELS)


def test_rules_of_tasks_show_in_cell_and_signature(finished):
    _, _, records = finished
    assert records["classes"].cell.null_class == 48
    assert ",null48" in records["classes"].scores[0].signature
    assert records["inpainting"].cell.given == {"mask": "boxes"}
    assert ",mask-boxes" in records["inpainting"].scores[0].signature
    assert ",downscale-pil-bicubic" in records["super-resolution"].scores[0].signature


def test_known_pixels_are_those_of_the_truth(finished):
    _, store, records = finished
    key = records["inpainting"].keys["samples"]
    found = np.load(next((store / "samples").rglob(f"{key}*/**/images.npy")))
    truth = render(split_indices("validation", 0, 8), resolution=32).images
    known = to_paint(np.arange(8), 32, mask="boxes") == 0
    assert (found[:8][known] == truth[known]).all()
    assert (found[:8][~known] != truth[~known]).any()


def test_what_a_dataset_lacks_is_said(finished, tmp_path):
    folder, _, _ = finished
    from PIL import Image

    (tmp_path / "photos").mkdir()
    for i in range(4):
        Image.new("RGB", (32, 32), (i, i, i)).save(tmp_path / "photos" / f"{i}.png")
    names = ("text", "layout", "semantic")
    lines = "".join(f"  {n}: {{kind: load, path: {folder / n}}}\n" for n in names)
    data = "{kind: folder, path: photos, resolution: 32, reference: 1, validation: 1}"
    text = (SUITE % lines).replace("{kind: shapes, resolution: 32, train: 16, reference: 16}", data)
    with pytest.raises(SuiteError) as caught:
        check_suite(load_suite(tiny.write_suite(tmp_path, text)))
    said = "\n".join(caught.value.problems)
    for what in ("captions", "boxes", "masks"):
        assert f"needs {what} as its condition, but data.shapes has none" in said


def test_too_few_classes_are_said(tmp_path):
    zoo.make("classes", tmp_path / "classes")
    with pytest.raises(SuiteError) as caught:
        check_suite(load_suite(suite_of(tmp_path, ("classes",))))
    assert f"knows 11 classes, but data.shapes has {len(CLASSES)}" in str(caught.value)
    (tmp_path / "mine.py").write_text("def mine(indices, **told):\n    return None\n")
    own = "data.shapes={kind: call, target: 'mine:mine', resolution: 32, classes: %d}"
    with pytest.raises(SuiteError, match=r"knows 11 classes, but data\.shapes has 12"):
        check_suite(load_suite(suite_of(tmp_path, ("classes",)), [own % 12]))
    check_suite(load_suite(suite_of(tmp_path, ("classes",)), [own % 11]))


def test_mask_and_downscale_change_the_key_of_their_tasks_alone(finished):
    folder, _, _ = finished
    suite = folder / "tiny.yaml"

    def keys(*sets):
        return {c.model: c.stages["samples"] for c in build_plan(load_suite(suite, sets)).cells}

    before = keys()
    after = keys(*(f"models.{name}.mask=center" for name in MODELS))
    assert [n for n in MODELS if after[n] != before[n]] == ["inpainting"]
    after = keys(*(f"models.{name}.downscale=area" for name in MODELS))
    assert [n for n in MODELS if after[n] != before[n]] == ["super-resolution"]


def test_layouts_are_tokens_as_the_zoo_was_trained():
    truth = Truth(
        indices=np.arange(1),
        images=np.zeros((1, 8, 8, 3), np.uint8),
        captions=("",),
        labels=np.zeros(1, np.int64),
        boxes=np.array([[[0.0, 0.5, 1.0, 1.0], [-1, -1, -1, -1]]], np.float32),
        box_labels=np.array([[7, -1]]),
    )
    found = layout_tokens(truth, length=8, vocabulary=30)  # 5 x 5 places, 29 is none
    assert found.tolist() == [[7, 2 * 5, 24, 29, 29, 29, 0, 24]]


def test_masks_and_small_images():
    masks = to_paint(np.arange(50), 32, mask="boxes")
    assert (masks == to_paint(np.arange(50), 32, mask="boxes")).all()
    shares = masks.mean((1, 2))
    assert 0.03 < shares.min() < shares.max() < 0.8
    assert to_paint(np.arange(1), 32, mask="center").sum() == 16 * 16
    grey = np.full((2, 32, 32, 3), 128, np.uint8)
    small = low_resolution(grey, (8, 8), resize="pil-bicubic")
    assert small.shape == (2, 3, 8, 8)
    assert torch.allclose(small, torch.full_like(small, 128 / 127.5 - 1), atol=1e-6)
