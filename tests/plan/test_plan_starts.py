"""`init`: which model a training starts from, and what does not fit before anything trains."""

from pathlib import Path

import pytest
import tiny

from ldmbench.errors import SuiteError
from ldmbench.plan.build import build_plan
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

LDM = Path(__file__).parents[1] / "golden" / "diffusers" / "ldm"
SUITE = """
suite: starts
data:
  shapes: {kind: shapes, resolution: 16, train: 32, reference: 32}
  fine: {kind: shapes, resolution: 16, train: 32, reference: 32, texture: fine}
models:
  base:
    autoencoder: {f: 1}
    denoiser: {channels: 8, context_channels: 8, multipliers: [1, 1], train_seed: [0, 1]}
    budget: {steps: 3}
    data: shapes
  tuned: {init: base, denoiser: {learning_rate: 1.0e-5}, budget: {steps: 2}, data: fine}
sample: {steps: 2, count: 16}
metrics: [fid]
"""


def planned(tmp_path, *sets, text=SUITE):
    loaded = load_suite(tiny.write_suite(tmp_path, text), sets)
    check_suite(loaded)
    return loaded, build_plan(loaded)


def sources(plan):
    """Return cell -> the denoiser that its denoiser starts from."""
    stages = plan.by_key()
    return {
        cell.id: stages[cell.stages["denoiser"]].inputs["init"].key
        for cell in plan.cells
        if "init" in stages[cell.stages["denoiser"]].inputs
    }


def test_what_a_model_does_not_write_is_its_sources(tmp_path):
    loaded, plan = planned(tmp_path)
    tuned, base = loaded.written.models["tuned"], loaded.written.models["base"]
    assert tuned.autoencoder == base.autoencoder
    assert tuned.denoiser.model_dump(mode="json") == base.denoiser.model_dump(mode="json") | {
        "learning_rate": 1e-5
    }
    of = {cell.id: cell.stages["denoiser"] for cell in plan.cells}
    ends = "fine/ddim-2/g1/s0", "shapes/ddim-2/g1/s0"
    assert sources(plan) == {
        f"tuned[train_seed={n}]/{ends[0]}": of[f"base[train_seed={n}]/{ends[1]}"] for n in (0, 1)
    }
    stage = plan.by_key()[of[f"tuned[train_seed=1]/{ends[0]}"]]
    source = plan.by_key()[of[f"base[train_seed=1]/{ends[1]}"]]
    assert stage.local.assumed == (
        f"training starts from the weights of base[train_seed=1] (denoiser {source.key[:8]})",
    )


@pytest.mark.parametrize("init", ["base[train_seed=1]", "base[train_seed=1]/shapes/ddim-2/g1/s0"])
def test_one_training_of_an_axis_is_named_by_its_model_or_cell(tmp_path, init):
    loaded, plan = planned(tmp_path, f"models.tuned.init='{init}'")
    assert loaded.written.models["tuned"].denoiser.train_seed == 1
    of = {cell.id: cell.stages["denoiser"] for cell in plan.cells}
    assert sources(plan) == {
        "tuned/fine/ddim-2/g1/s0": of["base[train_seed=1]/shapes/ddim-2/g1/s0"]
    }


def test_another_source_is_another_key_and_none_leaves_the_key(tmp_path):
    keys = set()
    for init in ("base[train_seed=0]", "base[train_seed=1]"):
        sets = (f"models.tuned.init='{init}'", "models.tuned.denoiser.train_seed=5")
        _, plan = planned(tmp_path, *sets)
        [cell] = [c for c in plan.cells if c.model == "tuned"]
        keys.add(cell.stages["denoiser"])
    assert len(keys) == 2


REFUSED = {
    "models.tuned.init=bose": "no model or cell of this suite .did you mean 'base'?",
    "models.tuned.init='base[train_seed=7]'": "no model or cell of this suite",
    "models.tuned.init=tuned": "tuned -> tuned is a ring",
    "models.tuned.denoiser.channels=16": "whose denoiser.channels is 8, and this model's is 16",
    "models.tuned.denoiser.conditioning=none": "whose conditioning is caption, and this model's",
    "models.tuned.denoiser.multipliers=[1, 2]": r"multipliers is \[1, 1\], .* is \[1, 2\]",
    "models.base.budget.steps=[3, 4]": r"which is 2 trainings \(base\[.*name one of these cells",
    f"models.tuned.init={LDM}": "whose conditioning is none, and this model's is caption",
}


@pytest.mark.parametrize("change", REFUSED)
def test_a_source_that_does_not_fit_is_refused_before_anything_trains(tmp_path, change):
    with pytest.raises(SuiteError, match=REFUSED[change]) as error:
        planned(tmp_path, change)
    assert len(str(error.value).split("\n")) <= 2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("autoencoder: {f: 4, weights: shipped}", "whose first stage has f = 2, and this model's"),
        ("autoencoder: {f: 2, weights: shipped}", "block_out_channels"),
    ],
)
def test_the_configs_of_a_folder_are_compared(tmp_path, fields, said):
    text = SUITE.replace(
        "init: base, denoiser: {learning_rate: 1.0e-5}",
        f"init: {LDM}, {fields}, denoiser: {{conditioning: none}}",
    )
    with pytest.raises(SuiteError, match=said):
        planned(tmp_path, text=text)
