"""Samples larger than those of training: planned, drawn, judged in patches, or refused."""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny

sys.path.insert(0, str(Path(__file__).parent))
from test_tasks_in_suite import make

from ldmbench.cli import outcome
from ldmbench.data.batch import Batch
from ldmbench.data.masks import to_paint
from ldmbench.data.shapes import render, split_indices
from ldmbench.data.windows import centre_of, centred, patches_in_turn
from ldmbench.errors import SuiteError
from ldmbench.models import load
from ldmbench.models.suite_model import SuiteModel
from ldmbench.models.tasks import Truth
from ldmbench.records.runs import Runs
from ldmbench.sample import initial_noise
from ldmbench.schema.params import Sampling

SUITE = """
suite: large
data:
  shapes: {kind: shapes, resolution: 16, train: 32, reference: 16}
models:
  ldm:
    kind: ldm
    autoencoder: {f: 1}
    denoiser:
      channels: 8
      multipliers: [1, 1]
      batch: 4
      conditioning: [superresolution, inpainting, semantic]
    budget: {steps: 2}
  bicubic:
    kind: call
    target: "ldmbench.models.baselines:Bicubic"
    conditioning: truth
    task: superresolution
sample: {steps: 2, count: 8, micro_batch: 8, size: [1, [2, 3]]}
metrics: [fid, feature_distance, miou, layout_ap, attribute_accuracy]
probes: [flops, memory]
mlflow: {enabled: false}
"""


planned = partial(tiny.planned, text=SUITE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    suite, store = tiny.write_suite(folder, SUITE), folder / "store"
    assert outcome(["run", str(suite), "--store", str(store)]) == 0
    runs = Runs(store)
    found = {}
    for record in runs.records(runs.find().id):
        assert record.status == "done", record.reason
        found[record.cell.conditioning, record.cell.size, record.cell.model == "bicubic"] = record
    return store, found


def images_of(store, record):
    return np.load(next((store / "samples").rglob(f"{record.keys['samples']}*/**/images.npy")))


@pytest.mark.slow
def test_every_task_of_image_shape_is_sampled_at_every_size(finished):
    store, records = finished
    sides = {None: (16, 16), "2x3": (32, 48)}
    tasks = ("superresolution", "inpainting", "semantic")
    assert set(records) == {(t, s, False) for t in tasks for s in sides} | {
        ("superresolution", None, True)
    }
    flops = {}
    for (task, size, is_own), record in records.items():
        assert images_of(store, record).shape[1:] == (*sides[size], 3), record.cell.id
        signatures = {s.name: s.signature for s in record.scores}
        rows = None if size is None else f"|patch:grid-2x{sides[size][1] // 16}-in-turn|"
        for name in ("fid", "truth_feature_distance"):
            if name in signatures:
                assert (rows or "|ref:") in signatures[name]
                assert ("patch:" in signatures[name]) == (size is not None)
        assert "patch:" not in signatures["attribute_accuracy"] + signatures["miou"]
        assert "|n:8|" in signatures["fid"]
        assert "ref:shapes16-reference" in signatures["fid"]
        if not is_own:
            measured = {m.name: m.value for m in record.measures}
            flops[task, size] = measured["flops_per_image"]
            assert measured["peak_memory"] > 0
            assert record.cell.id.endswith(f"[size={size}]/g1/s0" if size else "ddim-2/g1/s0")
    for task in tasks:
        assert flops[task, "2x3"] > 5 * flops[task, None]  # of attention more than 6 times


@pytest.mark.slow
def test_known_pixels_of_larger_images_equal_the_input(finished):
    store, records = finished
    made = images_of(store, records["inpainting", "2x3", False])[:8]
    real = centred(render(split_indices("validation", 0, 8), resolution=48).images, (32, 48))
    known = centred(to_paint(np.arange(8), 48, mask="boxes"), (32, 48)) == 0
    assert (made[known] == real[known]).all()
    assert (made[~known] != real[~known]).any()


@pytest.mark.parametrize("name", ["super-resolution", "inpainting", "semantic"])
def test_a_released_model_samples_at_another_size(name, tmp_path):
    make(name, tmp_path)
    model = SuiteModel(load(tmp_path), {"mask": "boxes"} if name == "inpainting" else {})
    plain, large = model.model.info, model.enlarged((2, 3))
    batch = centre_of(render(split_indices("validation", 0, 2), resolution=96), (64, 96))
    assert plain.f * plain.latent_shape[1] == 32
    cond = large.condition(
        captions=batch.captions,
        labels=batch.labels,
        truth=Truth(indices=np.arange(2), **vars(batch)),
    )
    noise = initial_noise([0, 1], seed=0, shape=large.shape)
    params = Sampling(**tiny.SAMPLING, size="2x3")
    made = large.draw(noise, condition=cond, params=params, seeds=[0, 1])
    assert made.shape == (2, 64, 96, 3)
    counted, base = large.work(params), model.work(params)
    assert counted.decoder > 5 * base.decoder


def test_features_see_the_patches_of_samples_in_turn():
    images = np.arange(2 * 4 * 6, dtype=np.uint8).reshape(2, 4, 6, 1).repeat(3, 3)
    found = patches_in_turn(images, np.array([5, 7]), (2, 3))
    assert found.shape == (2, 2, 2, 3)
    assert (found[0] == images[0, 2:, 4:]).all()
    assert (found[1] == images[1, :2, 2:4]).all()


def test_the_centre_keeps_what_is_left_of_boxes():
    boxes = np.array([[[0, 0, 0.5, 0.5], [0, 0, 1, 0.125], [-1, -1, -1, -1]]], np.float32)
    batch = Batch(
        images=np.zeros((1, 8, 8, 3), np.uint8), captions=("",), labels=np.zeros(1, np.int64),
        boxes=boxes, box_labels=np.array([[3, 4, -1]]), masks=np.ones((1, 8, 8), np.uint8),
    )  # fmt: skip
    cut = centre_of(batch, (4, 8))
    assert cut.images.shape == (1, 4, 8, 3)
    assert cut.masks.shape == (1, 4, 8)
    assert cut.boxes.tolist() == [[[0, 0, 0.5, 0.5], [-1] * 4, [-1] * 4]]
    assert cut.box_labels.tolist() == [[3, -1, -1]]
    assert centre_of(batch, None) is batch


def test_size_1_is_what_was_there_before(tmp_path):
    bare = planned(tmp_path, text=SUITE.replace(", size: [1, [2, 3]]", ""))
    swept = {cell.id: cell for cell in planned(tmp_path).cells}
    assert {cell.id for cell in bare.cells} < set(swept)
    for cell in bare.cells:
        assert swept[cell.id].stages == cell.stages
    larger = swept["ldm[conditioning=semantic]/shapes/ddim-2[size=2x3]/g1/s0"]
    assert larger.stages["denoiser"] == swept[bare.cells[2].id].stages["denoiser"]
    stages = planned(tmp_path).by_key()
    truth = stages[stages[larger.stages["samples"]].inputs["conditions"].key].params.keyed()
    assert truth["source"]["resolution"] == 48
    assert truth["window"] == [32, 48]


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("models.ldm.denoiser.conditioning=class",), "has no condition of image shape, only a"),
        (
            ("models.ldm.denoiser.conditioning=none",),
            "that have one are of: semantic, superres",
        ),
        (("data.shapes.resolution=512",), "takes shapes of 1536 pixels; they are drawn at 1024"),
        (("sample.size=0",), "found 0; allowed: a whole number of training sides from 1 to 16"),
        (("sample.size=[[2, 2, 2]]",), "or [[height, width]] of two, such as [[2, 3]]"),
        (("sample.size=two",), "found two; allowed: a whole number"),
    ],
)
def test_what_cannot_be_larger_is_refused(tmp_path, sets, said):
    with pytest.raises(SuiteError) as error:
        planned(tmp_path, *sets)
    assert said in str(error.value)
    assert "size" in str(error.value)


def test_images_on_disk_must_be_large_enough(tmp_path, capsys):
    from PIL import Image

    (tmp_path / "images").mkdir()
    for i in range(24):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    data = "data={mine: {kind: folder, path: images, resolution: 16, reference: 8, validation: 8}}"
    sets = [data, "models.ldm.denoiser.conditioning=inpainting", "metrics=[fid]"]
    suite = tiny.write_suite(tmp_path, SUITE)
    flags = [part for one in sets for part in ("--set", one)]
    store = ["--store", str(tmp_path / "store")]
    assert outcome(["plan", str(suite), *store, *flags, "--set", "sample.size=3"]) == 2
    said = capsys.readouterr().err
    assert "sample.size 3 takes conditions of 48 pixels from data.mine" in said
    assert "40 x 40 pixels, smaller than the 48 of the dataset" in said
    assert outcome(["plan", str(suite), *store, *flags, "--set", "sample.size=2", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert any("size=2" in str(cell) for cell in plan["cells"])
