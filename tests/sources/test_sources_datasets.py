"""The table of data sets, the nouns of suites and the openers name the same kinds."""

import json
from importlib.util import find_spec
from typing import get_args

import named_sets as sets
import pytest
from containers import NEEDS, WRITERS, coded

from ldmbench.catalog.datasets import DATASETS, RECIPES
from ldmbench.cli import outcome
from ldmbench.data.resize import CROPS, RESIZES
from ldmbench.schema.data import Prepare
from ldmbench.session.planning import planned

SUITE = """
suite: containers
data:
  real: {{kind: {kind}, path: {path}, resolution: 16, reference: 6, validation: 4}}
models:
  pixel:
    autoencoder: {{f: 1}}
    denoiser: {{conditioning: none, channels: 8, batch: 4, multipliers: [1, 1], warmup: 1}}
    budget: {{steps: 2}}
sample: {{steps: 2, count: 4, micro_batch: 4}}
metrics: [fid]
mlflow: {{enabled: false}}
"""


def test_each_row_says_what_its_kind_is():
    assert all(row.name == name and row.about for name, row in DATASETS.items())


def test_recipes_name_crops_and_filters():
    assert get_args(Prepare) == tuple(RECIPES)
    for row in RECIPES.values():
        assert row.crop in CROPS
        assert row.resize in RESIZES
    assert all(row.recipe in RECIPES for row in DATASETS.values() if row.recipe)


@pytest.fixture
def command(capsys):
    """Run a command of ldmbench and return its exit code, output and messages."""

    def run(*arguments):
        code = outcome([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def write_suite(folder, *rows):
    """Write a suite of data sets, each a kind and a path."""
    one = next(line for line in SUITE.splitlines() if "{kind}" in line)
    lines = [one.replace("real", kind).format(kind=kind, path=path) for kind, path in rows]
    file = folder / "suite.yaml"
    file.write_text(SUITE.replace(one, "\n".join(lines)).replace("{{", "{").replace("}}", "}"))
    return file


@pytest.mark.parametrize("kind", WRITERS)
def test_a_suite_with_each_container_plans(kind, tmp_path, command):
    if kind in NEEDS:
        pytest.importorskip(NEEDS[kind])
    write, name = WRITERS[kind]
    write(tmp_path / name, 20)
    code, out, err = command("plan", write_suite(tmp_path, (kind, name)), "--json")
    assert code == 0, err
    assert kind in json.dumps(json.loads(out))


def test_a_path_that_is_not_there_says_what_is_expected(tmp_path, command):
    code, _, err = command("plan", write_suite(tmp_path, ("webdataset", "nowhere")))
    assert code == 2
    assert "a .tar, or a folder of them; not compressed" in err


def imagenet(folder):
    """Write ImageNet with a validation split."""
    sets.imagenet_train(folder / "train", 8)
    sets.imagenet_val(folder / "val")
    sets.devkit(folder)


NAMED = {
    "imagenet": (imagenet, ""),
    "celebahq": (lambda p: sets.celebahq(p, 10), ""),
    "ffhq": (lambda p: sets.ffhq(p, range(59_990, 60_004)), ""),
    "lsun": (lambda p: sets.lsun_exported(p, 20), "category: church_outdoor, "),
    "imagenet_small": (lambda p: sets.small_imagenet(p, 4), ""),
    "cifar10": (lambda p: sets.cifar10(p, 4), ""),
    "coco": (sets.coco, "regions: map, "),
}


@pytest.mark.parametrize("kind", NAMED)
def test_a_suite_with_each_named_data_set_plans(kind, tmp_path, command):
    write, fields = NAMED[kind]
    write(tmp_path / "real")
    suite = write_suite(tmp_path, (kind, "real"))
    text = suite.read_text().replace("path: real, ", f"path: real, {fields}")
    suite.write_text(text.replace("reference: 6, validation: 4", "reference: 2, validation: 2"))
    code, out, err = command("plan", suite, "--json")
    assert code == 0, err
    cautions = json.dumps(json.loads(out))
    if kind != "coco":
        assert "are here: a part" in cautions


def test_a_recipe_stands_for_crop_and_resize(tmp_path, command):
    npz, name = WRITERS["npz"]
    npz(tmp_path / name, 20)
    suite = write_suite(tmp_path, ("npz", name))
    text = suite.read_text()
    keys = []
    for words in ("prepare: adm@1, ", "crop: adm, resize: pil-bicubic, ", "prepare: var@1, "):
        suite.write_text(text.replace("resolution: 16", f"{words}resolution: 8"))
        plan = planned(suite, [], [], store=tmp_path / "store")[1]
        keys.append({stage.key for stage in plan.stages})
    assert keys[0] == keys[1] != keys[2]
    suite.write_text(text.replace("resolution: 16", "prepare: adm@1, crop: adm, resolution: 16"))
    code, _, err = command("plan", suite)
    assert code == 2
    assert "prepare: adm@1 beside crop or resize" in err


@pytest.mark.slow
def test_the_same_images_score_alike_in_each_container(tmp_path, command):
    plain, values = tmp_path / "plain", {}
    for i in range(24):
        sets.write(plain / f"{i:03d}.png", coded(i))
    there = [k for k in WRITERS if k != "lmdb" and (k not in NEEDS or find_spec(NEEDS[k]))]
    for kind in there:
        write, name = WRITERS[kind]
        place = write(tmp_path / name, 24)
        code, out, err = command("score", place, "--reference", plain, "--metrics", "kid", "--json")
        assert code == 0, err
        (score,) = json.loads(out)["scores"]
        values[kind] = score["value"]
    assert len({*values.values()}) == 1, values


REGIONS = """
suite: regions
data:
  coco: {kind: coco, path: coco, regions: taming, resolution: 16, reference: 2}
models:
  layout:
    autoencoder: {f: 1}
    denoiser: {conditioning: layout, channels: 8, context_channels: 8, batch: 2, warmup: 1}
    budget: {steps: 2}
  map:
    autoencoder: {f: 1}
    denoiser: {conditioning: semantic, channels: 8, batch: 2, warmup: 1}
    budget: {steps: 2}
sample: {steps: 2, count: 2, micro_batch: 2}
metrics: [fid]
mlflow: {enabled: false}
"""


@pytest.mark.parametrize("shown", ["taming", "map", "none"])
def test_a_model_of_layouts_or_maps_needs_data_that_tell_them(shown, tmp_path, command):
    sets.coco(tmp_path / "coco")
    suite = tmp_path / "suite.yaml"
    suite.write_text(REGIONS.replace("regions: taming", f"regions: {shown}"))
    code, _, err = command("plan", suite)
    lacks = {"taming": "masks", "map": "", "none": "boxes"}[shown]
    assert code == (2 if lacks else 0), err
    assert lacks in err


@pytest.mark.slow
def test_a_suite_of_several_containers_runs(tmp_path, command):
    """Archives, a database and tables; the others differ from these in reading alone."""
    there = [k for k in ("webdataset", "lmdb", "parquet") if k not in NEEDS or find_spec(NEEDS[k])]
    for kind in there:
        write, name = WRITERS[kind]
        write(tmp_path / name, 20)
    suite = write_suite(tmp_path, *((kind, WRITERS[kind][1]) for kind in there))
    code, _, err = command("run", suite)
    assert code == 0, err
    rows = json.loads(command("report", "--format", "json")[1])
    assert {row["dataset"] for row in rows} == {*there}
    assert {row["status"] for row in rows} == {"done"}


def test_the_list_shows_what_is_expected_and_where_it_is_had(command):
    rows = json.loads(command("list", "datasets", "--json")[1])
    assert {*DATASETS} <= {*rows}
    assert "path: a .tar" in rows["webdataset"]
