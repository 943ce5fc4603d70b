"""Objectives, samplers and intervals of guidance of a suite: what goes together, and what not."""

import pytest

from ldmbench.errors import InputError, SuiteError
from ldmbench.plan.build import build_plan
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite


def suite(path, denoiser="{}", sample="{steps: 5, count: 8}", more=""):
    file = path / "suite.yaml"
    file.write_text(f"""suite: objectives
data:
  shapes: {{kind: shapes, resolution: 32, train: 64, reference: 64}}
models:
  ldm:
    autoencoder: {{f: 4}}
    denoiser: {denoiser}
    budget: {{steps: 5}}
sample: {sample}
metrics: [fid]
{more}
""")
    return load_suite(file)


def problems(path, *parts, **more):
    with pytest.raises(SuiteError) as caught:
        check_suite(suite(path, *parts, **more))
    return "\n".join(caught.value.problems)


def stages(loaded, kind):
    return [stage for stage in build_plan(loaded).stages if stage.kind == kind]


@pytest.mark.parametrize(
    ("denoiser", "text"),
    [
        ("{prediction: v}", "denoiser.prediction: is called 'objective' now"),
        ("{objective: velocity}", "allowed: eps, v, x0, flow, regression"),
        ("{objective: v, shift: 3}", "denoiser.shift: is a field of objective flow"),
        (
            "{objective: flow, beta_schedule: linear}",
            "denoiser.beta_schedule: is a field of objective eps",
        ),
        ("{objective: flow, min_snr: 5}", "denoiser.min_snr: is a field of objective eps, v, x0"),
        ("{objective: flow, logit_std: 2}", "write times: logit_normal"),
        ("{rescale_betas_zero_snr: true}", "allowed with objective: v, x0"),
        (
            "{objective: regression, conditioning: layout}",
            "found regression beside conditioning: layout, of which no one image follows; allowed"
            " with conditioning: superresolution, inpainting, image",
        ),
        (
            "{objective: regression, conditioning: image, drop_condition: 0.2}",
            "denoiser.drop_condition: is a field of objective eps, v, x0, flow",
        ),
        ("{objective: v, rescale_betas_zero_snr: true, min_snr: 5}", "leave one of the two out"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(tmp_path, denoiser, text):
    with pytest.raises(SuiteError) as caught:
        check_suite(suite(tmp_path, denoiser, "{sampler: euler, steps: 5, count: 8}"))
    assert text in "\n".join(caught.value.problems)


@pytest.mark.parametrize(
    ("denoiser", "sample", "text"),
    [
        ("{objective: flow}", "{steps: 5}", "sample.sampler: found ddim, for models.ldm"),
        ("{objective: flow}", "{steps: 5}", "ask for one of: euler, heun, dopri5, sde"),
        ("{objective: [v, flow]}", "{steps: 5, sampler: sde}", "sde samples flows, and this model"),
        ("{objective: flow}", "{steps: 1, sampler: sde}", "from 2 to 4000"),
        (
            "{objective: v, rescale_betas_zero_snr: true}",
            "{steps: 5, timesteps: leading}",
            "sample.timesteps: found leading, but models.ldm has no signal at its last timestep",
        ),
        (
            "{objective: v, rescale_betas_zero_snr: true}",
            "{steps: 5, sampler: heun}",
            "rescale_betas_zero_snr, which heun would leave out",
        ),
    ],
)
def test_samplers_that_a_model_does_not_have_are_refused(tmp_path, denoiser, sample, text):
    assert text in problems(tmp_path, denoiser, sample)


@pytest.mark.parametrize(
    ("denoiser", "sample", "text"),
    [
        (
            "{objective: flow}",
            "{sampler: euler, steps: 4, guidance: 2, guidance_interval: [0.3, 1.4]}",
            "the model's times lie in [0, 1]",
        ),
        (
            "{}",
            "{steps: 4, guidance: 2, guidance_interval: [700, 100]}",
            "the model's times lie in [0, 999]; write two of them, the lower first",
        ),
        (
            "{}",
            "{steps: 4, guidance: 2, guidance_interval: [0.0, 0.7]}",
            "guidance would never be on: none of the 4 times at which the network is asked, 1 to"
            " 751, lies in it",
        ),
        (
            "{objective: flow}",
            "{sampler: euler, steps: 4, guidance_interval: [0.0, 0.7]}",
            "changes nothing at guidance 1",
        ),
    ],
)
def test_intervals_that_guide_nothing_are_refused(tmp_path, denoiser, sample, text):
    assert text in problems(tmp_path, denoiser, sample)


def test_an_interval_is_an_axis_and_belongs_to_the_key(tmp_path):
    plain = suite(tmp_path, sample="{steps: 4, count: 8, guidance: 2}")
    (key,) = (stage.key for stage in stages(plain, "samples"))
    swept = suite(
        tmp_path,
        sample="{steps: 4, count: 8, guidance: [1, 2], guidance_interval: [null, [0, 700]]}",
    )
    check_suite(swept)
    found = {cell.id: cell for cell in build_plan(swept).cells}
    assert list(found)[-1] == "ldm/shapes/ddim-4[guidance_interval=0x700]/g2/s0"
    assert found["ldm/shapes/ddim-4[guidance_interval=0x700]/g2/s0"].guidance_interval == (0, 700)
    assert found["ldm/shapes/ddim-4[guidance_interval=0x700]/g1/s0"].guidance_interval is None
    keys = {stage.key for stage in stages(swept, "samples")}
    assert key in keys
    assert len(keys) == 3  # guidance 1 is the same with and without


def test_a_model_has_an_interval_of_its_own(tmp_path):
    file = tmp_path / "suite.yaml"
    text = suite(tmp_path, sample="{steps: 4, count: 8, guidance: 2}").text
    file.write_text(text.replace("    budget", "    guidance_interval: [0, 500]\n    budget"))
    loaded = load_suite(file)
    check_suite(loaded)
    assert [s.params.guidance_interval for s in stages(loaded, "samples")] == [(0, 500)]
    assert build_plan(loaded).cells[0].guidance_interval == (0, 500)


def test_fields_of_other_objectives_mean_nothing_for_one(tmp_path):
    loaded = suite(
        tmp_path,
        "{objective: [v, flow], min_snr: [null, 5], shift: [1, 3]}",
        "{sampler: euler, steps: 4, count: 8}",
    )
    check_suite(loaded)
    assert [cell.model for cell in build_plan(loaded).cells] == [
        "ldm[objective=v,min_snr=None]",
        "ldm[objective=v,min_snr=5]",
        "ldm[objective=flow,shift=1]",
        "ldm[objective=flow,shift=3]",
    ]


def test_old_words_stay_in_keys(tmp_path):
    for objective in ("eps", "v"):
        loaded = suite(tmp_path, f"{{objective: {objective}, beta_schedule: linear}}")
        (stage,) = stages(loaded, "denoiser")
        keyed = stage.params.keyed()
        assert (keyed["prediction"], keyed["beta_schedule"]) == (objective, "linear")
        assert not {"objective", "shift", "times", "min_snr"} & set(keyed)
        assert type(stage.params).model_validate(keyed) == stage.params


def test_a_regression_is_sampled_once_whatever_the_suite_says(tmp_path):
    denoiser = "{objective: [v, regression], conditioning: inpainting}"
    asked = "{sampler: [ddim, heun], steps: [4, 8], guidance: [1, 2], count: 8}"
    both = suite(tmp_path, denoiser, asked)
    check_suite(both)
    cells = [cell.id for cell in build_plan(both).cells]
    assert len(cells) == 9
    assert [c for c in cells if "regression" in c] == [
        "ldm[objective=regression]/shapes/ddim-1/g1/s0"
    ]
    said = problems(
        tmp_path, "{objective: regression, conditioning: image}", more="probes: [coding]"
    )
    assert "models.ldm is a regression, which has none" in said


def test_a_flow_has_no_timestep_rule_and_no_coding(tmp_path):
    flow = suite(tmp_path, "{objective: flow}", "{sampler: [euler, heun, sde, dopri5], steps: 4}")
    check_suite(flow)
    assert {cell.timesteps for cell in build_plan(flow).cells} == {None}
    zero = suite(tmp_path, "{objective: v, rescale_betas_zero_snr: true}")
    assert {cell.timesteps for cell in build_plan(zero).cells} == {"trailing"}
    said = problems(
        tmp_path, "{objective: flow}", "{sampler: euler, steps: 4}", more="probes: [coding]"
    )
    assert "models.ldm is a flow, which has none" in said


def test_cells_that_are_left_have_samplers_that_run(tmp_path):
    loaded = suite(
        tmp_path,
        "{objective: [v, flow]}",
        "{sampler: [ddim, sde], steps: 4, count: 8}",
        more="exclude: ['*flow*ddim*', '*=v*sde*']",
    )
    check_suite(loaded)
    assert len(build_plan(loaded).cells) == 2
    half = suite(
        tmp_path,
        "{objective: [v, flow]}",
        "{sampler: [ddim, sde], steps: 4, count: 8}",
        more="exclude: ['*=v*sde*']",
    )
    with pytest.raises(InputError, match=r"ldm.objective=flow./shapes/ddim-4.*flow, which ddim"):
        build_plan(half)
