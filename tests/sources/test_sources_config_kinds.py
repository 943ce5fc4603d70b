"""A value of the wrong kind in a model's config is the user's error; a bug of ours is not."""

import copy
import json
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ldmbench.cli import outcome
from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.compvis import checkpoint as compvis
from ldmbench.models.diffusers import folder as diffusers_folder
from ldmbench.sources.models import peek as peeking
from ldmbench.sources.models.config_kinds import ADM, check_kinds
from ldmbench.sources.models.peek import peek

GOLDEN = Path(__file__).parents[1] / "golden"
LDM = GOLDEN / "compvis" / "ldm-uncond-vqf4"
FOLDER = GOLDEN / "diffusers" / "ldm"
SUITE = """\
suite: planted
protocol: shapes-v1
data:
  shapes: {{kind: shapes, resolution: 32, train: 512, reference: 128}}
models:
  ldm: {{kind: load, path: {path}}}
sample: {{count: 64, steps: 2}}
metrics: [fid]
"""


def fields(value, path=()):
    """Every place in a config, the whole of sections too."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*path, name)
            yield from fields(inner, (*path, name))


def changed(config, path, value):
    config = copy.deepcopy(config)
    node = config
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value
    return config


def read_or_refused(read):
    """Any other error than InputError is a bug, and fails the test."""
    try:
        read()
    except InputError:
        return True
    return False


@pytest.mark.parametrize("value", [None, {"a": 1}])
def test_any_value_of_a_compvis_config_is_read_or_refused(value, tmp_path):
    config = YAML(typ="safe", pure=True).load(LDM / "config.yaml")
    refused = 0
    for path in fields(config):
        place = tmp_path / "config.json"
        place.write_text(json.dumps(changed(config, path, value)))
        refused += read_or_refused(lambda place=place: peek(LDM / "model.ckpt", config=place))
    assert refused > 15


@pytest.mark.parametrize("value", [None, {"a": 1}, "many"])
@pytest.mark.parametrize("part", ["unet/config.json", "scheduler/scheduler_config.json"])
def test_any_value_of_a_folder_is_read_or_refused(value, part, tmp_path):
    folder = shutil.copytree(FOLDER, tmp_path / "m")
    (folder / part).chmod(0o644)
    config, refused = json.loads((folder / part).read_text()), 0
    for path in fields(config):
        (folder / part).write_text(json.dumps(changed(config, path, value)))
        refused += read_or_refused(lambda: peek(folder))
    assert refused >= 1


@pytest.mark.parametrize("value", ["1,2", "(1,2)", [1, 2], 1, "", None])
def test_flags_list_numbers_in_several_ways(value):
    assert check_kinds({"channel_mult": value}, ADM, "flags")
    with pytest.raises(InputError, match="channel_mult is '1;2'; allowed is numbers with commas"):
        check_kinds({"channel_mult": "1;2"}, ADM, "flags")


@pytest.mark.parametrize(
    ("module", "name", "model"),
    [(compvis, "build_unet", LDM), (diffusers_folder, "_condition", FOLDER)],
)
def test_a_bug_in_a_loader_is_no_fault_of_the_config(module, name, model, monkeypatch):
    def broken(*_, **__):
        raise AttributeError("planted")

    monkeypatch.setattr(module, name, broken)
    with pytest.raises(AttributeError, match="planted"):
        load(model)


@pytest.mark.parametrize("error", [AttributeError, KeyError, TypeError])
def test_a_bug_in_a_reader_of_configs_is_an_internal_error(error, monkeypatch, tmp_path, capsys):
    def broken(*_, **__):
        raise error("planted")

    monkeypatch.setattr(peeking, "_compvis_condition", broken)
    suite = tmp_path / "planted.yaml"
    suite.write_text(SUITE.format(path=LDM))
    assert outcome(["plan", str(suite), "--store", str(tmp_path / "store")]) == 5
    assert "planted" in capsys.readouterr().err
