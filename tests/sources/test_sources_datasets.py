"""The table of data sets, the nouns of suites and the openers name the same kinds."""

import json
from importlib.util import find_spec

import pytest
from containers import NEEDS, WRITERS

from ldmbench.catalog.datasets import DATASETS, RECIPES
from ldmbench.cli import outcome
from ldmbench.data.resize import CROPS, RESIZES

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
    assert "allowed: a .tar, or a folder of them; not compressed" in err


@pytest.mark.slow
def test_a_suite_of_all_containers_runs(tmp_path, command):
    there = [k for k in WRITERS if k not in NEEDS or find_spec(NEEDS[k])]
    for kind in there:
        write, name = WRITERS[kind]
        write(tmp_path / name, 20)
    suite = write_suite(tmp_path, *((kind, WRITERS[kind][1]) for kind in there))
    code, _, err = command("run", suite)
    assert code == 0, err
    rows = json.loads(command("report", "--format", "json")[1])
    assert {row["cell"]["dataset"] for row in rows} == {*there}
    assert all(row["scores"] for row in rows)


def test_the_list_shows_what_is_expected_and_where_it_is_had(command):
    rows = json.loads(command("list", "datasets", "--json")[1])
    assert {*DATASETS} <= {*rows}
    assert "path: a .tar" in rows["webdataset"]
