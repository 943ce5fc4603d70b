"""pipeline x stages/ and catalog x code match one to one."""

import re
import sys
from dataclasses import replace
from inspect import Parameter, signature
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import tiny

from ldmbench.catalog.datasets import DATASETS
from ldmbench.catalog.extractors import EXTRACTORS
from ldmbench.catalog.measures import PROBES
from ldmbench.catalog.metrics import CLIP, FAMILIES, METRICS, MOMENTS, SCORES, keyed_fields
from ldmbench.catalog.samplers import SAMPLERS
from ldmbench.pipeline import STAGES
from ldmbench.registry import resolve
from ldmbench.schema.base import Kind, by_kind
from ldmbench.schema.data import Data, FilesData
from ldmbench.schema.models import Model
from ldmbench.schema.params import PARAMS, read_params
from ldmbench.schema.protocol import Recipe
from ldmbench.schema.sample import Sampler
from ldmbench.schema.suite import Probe
from ldmbench.sources.kinds import OPENERS
from ldmbench.store.machine import SHARED
from ldmbench.suite.protocol_files import protocol_named

ROOT = Path(__file__).parent.parent / "ldmbench"


def test_eleven_stages_and_a_file_for_each():
    files = {p.stem for p in (ROOT / "stages").glob("*.py")} - {
        "__init__",
        "coder",
        "common",
        "interpolated",
        "latent_neighbours",
        "own",
        "subject",
        "plugin",
        "spaces",
        "train_latents",
        "truth",
        "validation",
    }
    assert set(STAGES) == set(get_args(Kind)) == files
    assert len(STAGES) == 11


@pytest.mark.parametrize("kind", STAGES)
def test_stage_rows_resolve(kind):
    assert callable(resolve(STAGES[kind].run))
    for room in STAGES[kind].rooms:
        assert (ROOT / room).exists()


@pytest.mark.parametrize("kind", STAGES)
def test_a_row_names_the_classes_that_parameters_are_read_as_and_that_its_stage_takes(kind):
    row = STAGES[kind]
    assert row.params == PARAMS[kind]
    run = resolve(row.run)
    taken = get_type_hints(run, {**vars(sys.modules[run.__module__])})["task"]
    (asked,) = taken.__pydantic_generic_metadata__["args"]
    classes = get_args(asked) or (asked,)
    assert all(issubclass(one, classes) for one in row.params)
    made = read_params(kind, tiny.PARAMS[kind])
    assert isinstance(made, row.params)
    assert read_params(kind, made.keyed()) == made


@pytest.mark.parametrize("kind", STAGES)
def test_a_change_of_any_stage_code_behind_a_kind_changes_its_digest(kind):
    """What stages/<kind>.py imports from its own room, and what that imports, is code of its."""
    seen, left = set(), [kind]
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            text = (ROOT / "stages" / f"{name}.py").read_text()
            left += re.findall(r"^from ldmbench\.stages\.(\w+) import", text, re.MULTILINE)
    known = {f"stages/{kind}.py", *SHARED, *STAGES[kind].rooms}
    assert {f"stages/{name}.py" for name in seen} <= known


@pytest.mark.parametrize("path", sorted((ROOT / "stages").glob("*.py")), ids=lambda p: p.name)
def test_stages_are_short(path):
    limit = {"common.py": 160, "scores.py": 185, "speed.py": 170}
    limit |= dict.fromkeys(("dataset.py", "denoiser.py", "subject.py", "samples.py"), 140)
    assert len(path.read_text().splitlines()) <= limit.get(path.name, 100)


def test_the_schema_allows_what_the_catalog_names():
    assert get_args(Probe) == tuple(PROBES)
    assert get_args(Sampler) == tuple(SAMPLERS)
    assert [*by_kind(Data)] == [*DATASETS]
    assert set(by_kind(Model)) == {"ldm", "first_stage", "load", "call"}


@pytest.mark.parametrize(
    "target",
    [
        *(row.compute for row in FAMILIES.values()),
        *(row.scheduler for row in SAMPLERS.values()),
        *(row.load for row in EXTRACTORS.values()),
    ],
)
def test_code_that_rows_name_is_there(target):
    assert callable(resolve(target))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_family_takes_what_its_rows_are_keyed_by(family):
    taken = signature(resolve(family.compute)).parameters
    open_ended = any(p.kind is Parameter.VAR_KEYWORD for p in taken.values())
    keyed = (keyed_fields(family.name) - {"confidence"}) | set(family.constants)
    assert keyed <= set(Recipe.model_fields) | set(family.constants)
    assert open_ended or keyed <= set(taken)


@pytest.mark.parametrize("row", SCORES.values(), ids=lambda row: row.name)
def test_a_metric_says_what_is_asked_of_it(row):
    assert row.label
    assert row.about
    describes = row.family.needs == "neighbours"  # neither way is better, and nothing is judged
    assert [bool(row.better), bool(row.gate)] == [not describes] * 2
    assert set(row.least.per) <= set(Recipe.model_fields)
    if row.family.networks:
        assert row.family.networks.field in (*row.fields, *row.family.constants)
    if row.of:
        assert METRICS[row.of].family == row.family


def test_each_kind_of_dataset_on_disk_is_opened():
    files = {kind for kind, noun in by_kind(Data).items() if issubclass(noun, FilesData)}
    assert files == {*OPENERS}


def test_a_family_may_name_an_extractor_that_no_protocol_changes():
    protocol = protocol_named("clean-fid")
    assert CLIP.extractor_of(protocol) == "clip-vit-b-32"
    assert MOMENTS.extractor_of(protocol) == "inception-v3-clean"
    fixed = replace(MOMENTS, name="dinov2", extractor="dinov2-vit-s-14")
    assert fixed.extractor_of(protocol) == "dinov2-vit-s-14"
    fields = set(Recipe.model_fields) | set(EXTRACTORS)
    assert {family.extractor for family in FAMILIES.values()} <= fields
