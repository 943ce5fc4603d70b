"""Stages have names that people know: models, cells, datasets."""

from __future__ import annotations

import tiny

from ldmbench.plan.build import build_plan
from ldmbench.plan.names import names_of
from ldmbench.suite.load import load_suite


def named(folder, *sets):
    plan = build_plan(load_suite(tiny.write_suite(folder), sets))
    names = names_of(plan)
    assert set(names) == {stage.key for stage in plan.stages}
    return set(names.values())


def test_stages_are_called_by_what_they_are_for(tmp_path):
    assert named(tmp_path) == {
        "dataset shapes train",
        "dataset shapes prompts",
        "dataset shapes reference",
        "autoencoder pixel",
        "denoiser pixel",
        "samples pixel/shapes/ddim-2",
        "samples pixel/shapes/ddim-3",
        "features shapes-net shapes reference",
        "features shapes-net pixel/shapes/ddim-2",
        "features shapes-net pixel/shapes/ddim-3",
        "scores moments pixel/shapes/ddim-2",
        "scores moments pixel/shapes/ddim-3",
        "scores neighbours pixel/shapes/ddim-2",
        "scores neighbours pixel/shapes/ddim-3",
    }


def test_what_varies_is_never_left_out(tmp_path):
    names = named(tmp_path, "sample.seed=[0,1]", "sample.steps=2")
    assert {"samples pixel/shapes/ddim-2/g1/s0", "samples pixel/shapes/ddim-2/g1/s1"} <= names


def test_what_serves_several_says_how_many(tmp_path):
    names = named(tmp_path, "models.pixel.budget.steps=[3,4]")
    assert any(name.startswith("autoencoder ") and name.endswith(" +1") for name in names)
