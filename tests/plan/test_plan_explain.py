"""Why stages will run: the cause first, then what follows from it."""

import pytest

from ldmbench.plan.build import build_plan
from ldmbench.plan.explain import NOTHING, Explainer
from ldmbench.schema.stage import Manifest
from ldmbench.suite.load import load_suite

SUITE = """
suite: why
data: {d: {kind: shapes, resolution: 32, train: 64, reference: 64}}
models: {m: {autoencoder: {f: 4, budget: {steps: 9}}, budget: {steps: 150}}}
sample: {steps: 5, count: 64}
metrics: [fid]
probes: []
"""


def plan_of(folder, *sets):
    file = folder / "suite.yaml"
    file.write_text(SUITE)
    return build_plan(load_suite(file, sets))


def explained(now, *before, without=()):
    """Return the groups of what is not among the stages of earlier plans."""
    made = {
        s.key: Manifest(
            kind=s.kind, key=s.key, version=1, params=s.params.keyed(), inputs=s.inputs,
            input_digests={}, outputs={}, digest="", code="", machine={}, versions={},
            started=str(i), seconds=0.0,
        )
        for i, plan in enumerate(before) for s in plan.stages if s.kind not in without
    }  # fmt: skip
    stages = now.by_key()
    explainer = Explainer(stages, lambda kind: [m for m in made.values() if m.kind == kind])
    groups = explainer.groups({key: None for key in stages if key not in made})
    kinds = [[stages[key].kind for key in keys] for g in groups for keys in (g.first, g.then)]
    return [g.cause for g in groups], kinds


@pytest.mark.parametrize(
    ("change", "cause", "first", "then"),
    [
        ("models.m.budget.steps=300", "budget.steps: 150 -> 300", ["denoiser"],
         ["samples", "features", "scores"]),
        ("models.m.autoencoder.budget.steps=10", "budget.steps: 9 -> 10", ["autoencoder"],
         ["latents", "denoiser", "samples", "features", "scores"]),
        ("sample.steps=6", "steps: 5 -> 6", ["samples"], ["features", "scores"]),
    ],
)  # fmt: skip
def test_the_cause_comes_first_and_once(tmp_path, change, cause, first, then):
    causes, kinds = explained(plan_of(tmp_path, change), plan_of(tmp_path))
    assert causes == [cause]
    assert kinds == [first, then]


def test_several_causes_are_apart(tmp_path):
    changes = ("models.m.budget.steps=300", "sample.steps=6")
    causes, kinds = explained(plan_of(tmp_path, *changes), plan_of(tmp_path))
    assert causes == ["budget.steps: 150 -> 300", "steps: 5 -> 6; budget.steps: 150 -> 300"]
    assert kinds == [["denoiser"], [], ["samples"], ["features", "scores"]]


def test_of_equally_near_ones_that_with_the_fewest_causes(tmp_path):
    now = plan_of(tmp_path, "models.m.budget.steps=300")
    far = plan_of(tmp_path, "models.m.denoiser.channels=32", "models.m.denoiser.blocks=2")
    causes, _ = explained(now, plan_of(tmp_path), far)
    assert causes == ["budget.steps: 150 -> 300"]


def test_an_empty_store_and_one_whose_datasets_were_deleted(tmp_path):
    now = plan_of(tmp_path, "data.d.seed=1")
    assert explained(now)[0] == [NOTHING]
    causes, _ = explained(now, plan_of(tmp_path), without=("dataset",))
    assert causes[0] == NOTHING
    assert causes[1].startswith("inputs.images: ")
    assert explained(now, plan_of(tmp_path))[0] == ["source.seed: 0 -> 1"]
