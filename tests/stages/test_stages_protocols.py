"""Stages that protocols and metrics ask for: spatial features, lpips, classes, captions beside."""

import json

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from ldmbench.canonical import digest_file
from ldmbench.data.conditions import class_labels
from ldmbench.data.shards import write_array
from ldmbench.errors import InputError
from ldmbench.features.lpips import load_lpips
from ldmbench.metrics import frechet_distance
from ldmbench.metrics.families import moments_family, pairs_family
from ldmbench.metrics.paired import lpips_family
from ldmbench.schema import weights
from ldmbench.schema.data import ShapesData
from ldmbench.schema.task import Task, TaskInput
from ldmbench.sources.digests import source_digest
from ldmbench.stages import dataset, features, scores

ALEX = {"0": (64, 3, 11), "3": (192, 64, 5), "6": (384, 192, 3), "8": (256, 384, 3),
        "10": (256, 256, 3)}  # fmt: skip
FIRST = [37, 26, 42, 20, 9, 38, 40, 42]
"""Classes of 48 drawn for the first samples of seed 0."""


def task(kind, output, params, inputs=(), **more):
    output.mkdir(parents=True, exist_ok=True)
    shard = more.pop("shard", None)
    found = {
        role: TaskInput(folders=(folder,), start=0, stop=n, first=0, shard=n)
        for role, folder, n in inputs
    }
    return Task(
        kind=kind, key="k", params=params, inputs=found, output=output, scratch=output,
        shard=shard, **more,
    )  # fmt: skip


def report(fraction, note):
    """Hear of progress."""


def pictures(folder, seed, count=5, side=40):
    folder.mkdir()
    images = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    write_array(folder / "images.npy", images)
    write_array(folder / "labels.npy", np.zeros(count, np.int64))
    (folder / "captions.json").write_text(json.dumps([""] * count))
    return images


@pytest.fixture
def alexnet(tmp_path, monkeypatch):
    """Random weights in the formats of torchvision and LPIPS, known by their digests."""
    torch.manual_seed(0)
    tensors = {}
    for row, (wide, deep, side) in ALEX.items():
        tensors[f"features.{row}.weight"] = torch.randn(wide, deep, side, side) * 0.05
        tensors[f"features.{row}.bias"] = torch.randn(wide) * 0.05
    heads = {
        f"lin{i}.model.1.weight": torch.rand(1, wide, 1, 1)
        for i, (wide, _, _) in enumerate(ALEX.values())
    }
    known = {w.name: w for w in weights.WEIGHTS}
    for name, held in (("alexnet", tensors), ("lpips-alex", heads)):
        file = tmp_path / "weights" / name / known[name].file
        file.parent.mkdir(parents=True)
        torch.save(held, file)
        known[name] = known[name].model_copy(update={"sha256": digest_file(file)})
    monkeypatch.setattr(weights, "WEIGHTS", tuple(known.values()))
    monkeypatch.setenv("LDMBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("LDMBENCH_OFFLINE", "1")


@pytest.mark.usefixtures("alexnet")
def test_lpips_is_a_mean_over_pairs_with_an_interval(tmp_path):
    a, b = pictures(tmp_path / "a", 0), pictures(tmp_path / "b", 1)
    params = {"family": "lpips", "lpips": "alex", "confidence": 0.95}
    sides = [("generated", tmp_path / "a", 5), ("reference", tmp_path / "b", 5)]
    scores.run(task("scores", tmp_path / "out", params, sides), report)
    found = json.loads((tmp_path / "out" / "scores.json").read_text())["lpips"]
    assert found["value"] == pytest.approx(load_lpips("alex")(a, b).mean(), rel=1e-6)
    assert found["low"] < found["value"] < found["high"]
    with np.load(tmp_path / "out" / "replicates.npz") as kept:
        assert len(kept["lpips"]) == 200


@pytest.mark.usefixtures("alexnet")
def test_pairs_are_read_in_blocks_and_give_what_all_at_once_give(tmp_path):
    count = 2 * scores.PAIRS_AT_ONCE + 5
    a = pictures(tmp_path / "a", 0, count)
    b = np.clip(a + np.random.default_rng(1).normal(0, 9, a.shape), 0, 255).astype(np.uint8)
    b[3] = a[3]
    (tmp_path / "b").mkdir()
    write_array(tmp_path / "b" / "images.npy", b)
    sides = [("generated", tmp_path / "a", count), ("reference", tmp_path / "b", count)]
    whole = pairs_family(a[4:], b[4:]) | lpips_family(a[4:], b[4:])
    for first, told in ((0, None), (4, whole)):
        found, kept = {}, {}
        for family in ("pairs", "lpips"):
            out = tmp_path / f"{first}-{family}"
            network = {"lpips": "alex"} if family == "lpips" else {}
            params = {"family": family, "confidence": 0.95, **network}
            made = task("scores", out, params, sides)
            inputs = {r: i.model_copy(update={"start": first}) for r, i in made.inputs.items()}
            scores.run(made.model_copy(update={"inputs": inputs}), report)
            found |= json.loads((out / "scores.json").read_text())
            kept |= np.load(out / "replicates.npz")
        if told is None:
            assert found["psnr"]["reason"] == "the value is inf"
            continue
        for name, one in told.items():
            assert (found[name]["value"], found[name]["low"]) == (one.value, one.low)
            assert np.array_equal(kept[name], one.replicates)


def test_spatial_features_are_kept_where_sfid_asks(tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        pictures(tmp_path / name, seed)
        params = dict(tiny.PARAMS["features"])
        images = [("images", tmp_path / name, 5)]
        more = {"shard": (0, 5), "local": {"expected": 5}}
        features.run(task("features", tmp_path / f"plain-{name}", params, images, **more), report)
        assert not (tmp_path / f"plain-{name}" / "spatial.npy").exists()
        params["spatial"] = True
        features.run(task("features", tmp_path / f"f-{name}", params, images, **more), report)
    rows = [np.load(tmp_path / f"f-{name}" / "spatial.npy") for name in "ab"]
    assert rows[0].shape == (5, 128)
    params = {"family": "spatial", "confidence": 0.95}
    sides = [("generated", tmp_path / "f-a", 5), ("reference", tmp_path / "f-b", 5)]
    scores.run(task("scores", tmp_path / "out", params, sides), report)
    found = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert set(found) == {"sfid"}
    assert found["sfid"]["value"] == pytest.approx(frechet_distance(*rows), rel=1e-6)


@pytest.mark.parametrize("paired", [False, True])
def test_features_of_one_picture_are_resampled_together(tmp_path, paired):
    rng = np.random.default_rng(0)
    y = rng.standard_normal((60, 8)).astype(np.float32)
    x = 0.9 * y + 0.1 * rng.standard_normal((60, 8)).astype(np.float32)
    for name, rows in (("a", x), ("b", y)):
        (tmp_path / name).mkdir()
        write_array(tmp_path / name / "features.npy", rows)
    sides = [("generated", tmp_path / "a", 60), ("reference", tmp_path / "b", 60)]
    params = {"family": "moments", "confidence": 0.95} | ({"paired": True} if paired else {})
    scores.run(task("scores", tmp_path / "out", params, sides), report)
    found = json.loads((tmp_path / "out" / "scores.json").read_text())["fid"]
    told = moments_family(x, y, paired=paired)["fid"]
    assert (found["value"], found["low"]) == (told.value, told.low)
    assert ("pairs resampled" in found["method"]) is paired
    with np.load(tmp_path / "out" / "replicates.npz") as kept:
        np.testing.assert_array_equal(kept["fid"], told.replicates)
    if paired:
        write_array(tmp_path / "b" / "features.npy", y[:50])
        with pytest.raises(InputError, match="no pairs"):
            scores.run(task("scores", tmp_path / "out", params, sides), report)


@pytest.mark.parametrize("rule", ["balanced", "random"])
def test_classes_of_prompts_depend_on_the_sample_alone(tmp_path, rule):
    source = ShapesData(resolution=16).model_dump(mode="json", exclude={"train", "reference"})
    params = {"source": source, "split": "prompts", "classes": rule}
    shards = {}
    for span in ((0, 64), (32, 64)):
        out = tmp_path / str(span[0])
        dataset.run(task("dataset", out, params, shard=span), report)
        shards[span[0]] = np.load(out / "labels.npy")
        count = json.loads((out / "facts.json").read_text())["classes"]
    assert np.array_equal(shards[0][32:], shards[32])
    if rule == "balanced":
        assert np.array_equal(shards[0], np.arange(64) % count)
    else:
        assert shards[0].min() >= 0
        assert shards[0].max() < count
        assert len(set(shards[0].tolist())) > count / 2


def test_random_classes_are_of_the_sample_seed():
    assert class_labels("random", 0, 8, count=48).tolist() == FIRST
    drawn = [class_labels("random", 0, 64, count=48, seed=seed).tolist() for seed in range(3)]
    assert drawn[0][:8] == FIRST  # what was stored before other seeds drew anew
    assert len({tuple(labels) for labels in drawn}) == 3
    assert class_labels("random", 32, 64, count=48, seed=2).tolist() == drawn[2][32:]
    even = [class_labels("balanced", 0, 64, count=48, seed=seed).tolist() for seed in (0, 1)]
    assert even[0] == even[1]


@pytest.mark.parametrize("seed", [0, 1])
def test_prompts_of_a_stage_have_the_classes_of_its_seed(tmp_path, seed):
    source = ShapesData(resolution=16).model_dump(mode="json", exclude={"train", "reference"})
    params = {"source": source, "split": "prompts", "classes": "random"}
    params |= {"seed": seed} if seed else {}
    dataset.run(task("dataset", tmp_path, params, shard=(32, 64)), report)
    expected = class_labels("random", 32, 64, count=48, seed=seed)
    assert np.array_equal(np.load(tmp_path / "labels.npy"), expected)


def folder_params(path, split):
    source = {
        "kind": "folder", "resolution": 8, "crop": "center", "resize": "pil-bicubic",
        "upscale": False, "reference": 0, "validation": 3, "order": "digest",
        "digest": source_digest(path),
    }  # fmt: skip
    return {"source": source, "split": split}


def test_classes_of_file_names_are_those_that_a_stage_writes(tmp_path):
    for i, name in enumerate(("plane_0", "car_1", "plane_2", "car_3", "bird_4", "bird_5")):
        Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / f"{name}.png")
    params = folder_params(tmp_path, "train")
    params["source"] |= {"labels": "name", "validation": 0, "order": None}
    local = {"path": str(tmp_path)}
    dataset.run(task("dataset", tmp_path / "out", params, shard=(0, 6), local=local), report)
    assert np.load(tmp_path / "out/labels.npy").tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("split", ["train", "prompts", "truth"])
def test_a_folder_is_read_as_it_was_planned_or_not_at_all(tmp_path, split):
    for i in range(9):
        place = tmp_path / f"set/{'abc'[i % 3]}/{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i, i, i)).save(place)
    params, local = folder_params(tmp_path / "set", split), {"path": str(tmp_path / "set")}

    def labels(name, span=(0, 6)):
        made = task("dataset", tmp_path / name, params, shard=span, local=local)
        dataset.run(made, report)
        return np.load(tmp_path / name / "labels.npy").tolist()

    found = labels("whole")
    assert len(found) == 6
    assert found[3:] == found[:3] or split == "train"
    Image.new("RGB", (8, 8)).save(tmp_path / "set/a/00.png")
    assert labels("again", (2, 6)) == found[2:]
    for file in (tmp_path / "set").rglob("*.png"):
        Image.new("RGB", (8, 8), (200, 0, 0)).save(file)
    with pytest.raises(InputError, match=r"set has changed since the run was planned; run again$"):
        labels("changed")
