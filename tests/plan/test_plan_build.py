"""Plans: axes to cells, cells to stages, equal keys merged."""

from pathlib import Path

import pytest

from ldmbench.errors import SuiteError
from ldmbench.plan.build import build_plan
from ldmbench.plan.expand import matches
from ldmbench.plan.graph import subset
from ldmbench.suite.load import load_suite

SUITE = """
suite: demo
data:
  shapes: {kind: shapes, resolution: 32, train: 64, reference: 64}
models:
  ldm:
    autoencoder: {f: [1, 4]}
    budget: {steps: 5}
sample: {steps: [5, 10], count: 8}
metrics: [fid]
probes: [device_days]
"""


@pytest.fixture
def plan_of(tmp_path):
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE)

    def build(*sets):
        return build_plan(load_suite(file, sets))

    return build


def ids(plan):
    return [cell.id for cell in plan.cells]


def keys(plan, kind):
    return {stage.key for stage in plan.stages if stage.kind == kind}


def test_cells_in_a_stable_order(plan_of):
    assert ids(plan_of()) == [
        "ldm[f=1]/shapes/ddim-5/g1/s0",
        "ldm[f=1]/shapes/ddim-10/g1/s0",
        "ldm[f=4]/shapes/ddim-5/g1/s0",
        "ldm[f=4]/shapes/ddim-10/g1/s0",
    ]


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (["sample.steps=7", "sample.eta=[0,0.5]"], "ldm[f=4]/shapes/ddim-7-eta0.5/g1/s0"),
        (["sample.guidance=[1,2.5]", "sample.seed=3"], "ldm[f=1]/shapes/ddim-5/g2.5/s3"),
        (["data.shapes.texture=[plain,fine]"], "ldm[f=1]/shapes[texture=fine]/ddim-5/g1/s0"),
        (["models.ldm.budget.steps=[5,6]"], "ldm[f=4,budget.steps=6]/shapes/ddim-5/g1/s0"),
        (
            ["sample.timesteps=[leading,trailing]"],
            "ldm[f=1]/shapes/ddim-5[timesteps=trailing]/g1/s0",
        ),
    ],
)
def test_ids_say_what_is_swept(plan_of, sets, expected):
    assert expected in ids(plan_of(*sets))


def test_what_an_f1_model_ignores_makes_no_cells(plan_of):
    plan = plan_of("models.ldm.autoencoder.regularization=[kl,vq]", "sample.steps=5")
    assert ids(plan) == [
        "ldm[f=1]/shapes/ddim-5/g1/s0",
        "ldm[f=4,regularization=kl]/shapes/ddim-5/g1/s0",
        "ldm[f=4,regularization=vq]/shapes/ddim-5/g1/s0",
    ]


def test_eta_is_of_ddim_alone(plan_of):
    plan = plan_of("sample.sampler=[ddim,euler]", "sample.eta=[0,1]", "sample.steps=5")
    assert sum("euler" in cell for cell in ids(plan)) == 2
    assert sum("ddim" in cell for cell in ids(plan)) == 4


def test_include_and_exclude_are_globs_in_which_brackets_are_plain(plan_of):
    assert ids(plan_of("include=['ldm[f=4]/*']")) == ids(plan_of())[2:]
    assert ids(plan_of("exclude=['*/ddim-5/*']")) == ids(plan_of())[1::2]
    assert matches("ldm[f=4]/x", "ldm[f=?]/*")
    assert not matches("ldmf/x", "ldm[f]/*")


def test_shared_work_is_planned_once(plan_of):
    plan = plan_of()
    assert len(keys(plan, "dataset")) == 3  # train, reference, prompts
    assert len(keys(plan, "autoencoder")) == len(keys(plan, "denoiser")) == 2
    assert len(keys(plan, "samples")) == 4
    reference = [s for s in plan.stages if s.kind == "features" and s.count == 64]
    assert len(reference) == 1


def test_inputs_come_before_what_needs_them(plan_of):
    seen = set()
    for stage in plan_of().stages:
        assert all(item.key in seen for item in stage.inputs.values())
        seen.add(stage.key)


def test_more_samples_keep_the_key_of_samples(plan_of):
    few, many = plan_of(), plan_of("sample.count=1000")
    assert keys(few, "samples") == keys(many, "samples")
    assert keys(few, "scores").isdisjoint(keys(many, "scores"))


def test_a_parameter_changes_the_keys_below_it_and_no_others(plan_of):
    before, after = plan_of(), plan_of("models.ldm.denoiser.learning_rate=0.1")
    assert keys(before, "autoencoder") == keys(after, "autoencoder")
    assert keys(before, "latents") == keys(after, "latents")
    assert keys(before, "denoiser").isdisjoint(keys(after, "denoiser"))
    assert keys(before, "samples").isdisjoint(keys(after, "samples"))


def test_one_more_metric_family_adds_only_itself(plan_of):
    before, after = plan_of(), plan_of("metrics=[fid,kid]")
    new = [s for s in after.stages if s.key not in {b.key for b in before.stages}]
    assert {s.kind for s in new} == {"scores"}
    assert {s.params.keyed()["family"] for s in new} == {"neighbours"}


def test_reconstructions_are_paired_with_the_very_images_they_are_of(plan_of):
    plan = plan_of("probes=[reconstruction]", "metrics=[fid,sfid,lpips]", "reconstruction_count=40")
    stages = {stage.key: stage for stage in plan.stages}
    made = {role: stages[key] for role, key in plan.cells[2].stages.items()}
    (rfid,) = (stage for role, stage in made.items() if role.endswith(":rfid"))
    paired = {s.key for s in plan.stages if s.params.keyed().get("paired")}
    assert paired == {rfid.key}
    sides = [rfid.inputs[role] for role in ("generated", "reference")]
    assert [side.count for side in sides] == [40, 40]
    images = [stages[stages[side.key].inputs["images"].key] for side in sides]
    assert images[0].kind == "reconstructions"
    assert images[0].inputs["images"].key == images[1].key


def test_paths_are_no_part_of_a_key(tmp_path):
    from PIL import Image

    text = SUITE.replace("{kind: shapes, resolution: 32, train: 64, reference: 64}", "FOLDER")
    text = text.replace("    budget", "    denoiser: {conditioning: none}\n    budget")
    plans = []
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        for i in range(12):
            Image.new("RGB", (32, 32), (i, 2 * i, 3 * i)).save(folder / f"{i}.png")
        file = tmp_path / f"{name}.yaml"
        section = f"{{kind: folder, path: {name}, resolution: 32, reference: 4, validation: 2}}"
        file.write_text(text.replace("FOLDER", section))
        plans.append(build_plan(load_suite(file)))
    assert [s.key for s in plans[0].stages] == [s.key for s in plans[1].stages]
    train = next(s for s in plans[0].stages if s.params.keyed().get("split") == "train")
    assert train.count == 6


def test_a_subset_keeps_what_its_cells_need(plan_of):
    plan = plan_of()
    small = subset(plan, [plan.cells[0]])
    assert keys(small, "autoencoder") == {plan.cells[0].stages["autoencoder"]}
    assert not keys(small, "latents")


def test_every_suite_that_ships_plans():
    for path in sorted(Path("suites").glob("*.yaml")):
        assert build_plan(load_suite(path)).cells


def test_too_few_images_are_told_before_anything_runs(plan_of):
    def problems(*sets):
        with pytest.raises(SuiteError) as caught:
            plan_of(*sets)
        return caught.value.problems

    (splits,) = problems("metrics=[fid,inception_score]")
    assert splits.endswith(
        "sample.count: found 8 samples, but inception_score under shapes-v1 needs 10 or more"
    )
    line, k = problems(
        "metrics=[density,fd_infinity]", "data.shapes.reference=5", "sample.count=19"
    )
    assert "needs 20 or more" in next(p for p in (line, k) if "sample.count" in p)
    assert "data.shapes.reference: found 5 real images" in next(p for p in (line, k) if "real" in p)
    plan_of("metrics=[precision]", "sample.count=4")
    assert "needs 6 or more (k = 5)" in problems("metrics=[density]", "sample.count=4")[0]
    few = problems("metrics=[precision,recall,coverage]", "sample.count=3")
    assert [text.partition("sample.count: ")[2] for text in few] == [
        "found 3 samples, but precision, recall under shapes-v1 need 4 or more (k = 3)",
        "found 3 samples, but coverage under shapes-v1 needs 6 or more (k = 5)",
    ]


@pytest.mark.parametrize(
    ("sets", "uneven"),
    [
        ([], []),
        (["sample.timesteps=trailing"], []),
        (["sample.timesteps=trailing", "models.ldm.denoiser.timesteps=1001"], [5, 10]),
        (["sample.timesteps=linspace"], [5, 10]),
        (["sample.timesteps=linspace", "sample.sampler=pndm"], [5, 10]),
        (["sample.timesteps=linspace", "sample.sampler=dpm++"], []),
        (["sample.timesteps=trailing", "sample.steps=[10,30]"], [30]),
    ],
)
def test_samples_of_uneven_timesteps_alone_have_keys_of_their_own(plan_of, sets, uneven):
    """They once stepped to t - T // n; what lay T // n apart keeps the key that it had."""
    found = [s for s in plan_of(*sets, "models.ldm.autoencoder.f=1").stages if s.kind == "samples"]
    assert sorted(s.params.keyed()["steps"] for s in found if "step" in s.params.keyed()) == uneven
    assert {s.params.keyed()["step"] for s in found if "step" in s.params.keyed()} <= {"to-next"}
