"""Networks of a suite: an axis like any other; fields and sizes that do not fit are refused."""

import pytest

from ldmbench.errors import SuiteError
from ldmbench.plan.build import build_plan
from ldmbench.plan.expand import points
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite


def suite(path, denoiser, f="4", sampler="ddim"):
    file = path / "suite.yaml"
    file.write_text(f"""suite: networks
data:
  shapes: {{kind: shapes, resolution: 32, train: 64, reference: 64}}
models:
  ldm:
    autoencoder: {{f: {f}}}
    denoiser: {denoiser}
    budget: {{steps: 5}}
sample: {{sampler: {sampler}, steps: 5, count: 8}}
metrics: [fid]
""")
    return load_suite(file)


def problems(path, denoiser, f="4"):
    with pytest.raises(SuiteError) as caught:
        check_suite(suite(path, denoiser, f))
    return "\n".join(caught.value.problems)


def test_a_network_is_an_axis_and_the_fields_of_the_other_mean_nothing(tmp_path):
    loaded = suite(
        tmp_path,
        "{network: [unet, dit], conditioning: class, channels: 16, patch: [1, 2], width: 64}",
    )
    check_suite(loaded)
    found = {point.model: point.spec.denoiser for point in points(loaded.written)}
    assert list(found) == [
        "ldm[network=unet]",
        "ldm[network=dit,patch=1]",
        "ldm[network=dit,patch=2]",
    ]
    unet, dit, _ = found.values()
    assert (unet.channels, unet.width) == (16, 384)
    assert (dit.channels, dit.width) == (64, 64)
    dumped = unet.model_dump(mode="json")
    assert "network" not in dumped
    keys = {stage.key for stage in build_plan(loaded).stages if stage.kind == "denoiser"}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("denoiser", "f", "text"),
    [
        (
            "{network: dit, conditioning: class, channels: 32}",
            "4",
            "denoiser.channels: is a field of network unet, but network is dit; allowed: patch",
        ),
        ("{patch: 2}", "4", "denoiser.patch: is a field of network dit, but network is unet"),
        (
            "{network: dit}",
            "4",
            "conditioning: found caption, which network dit is not trained with; allowed: none,"
            " class",
        ),
        (
            "{network: dit, conditioning: none, patch: 4}",
            "[4, 16]",
            "patch: found 4, which does not divide a latent of 2 x 2; allowed: 1, 2",
        ),
        (
            "{network: dit, conditioning: none, heads: 5}",
            "4",
            "heads: found 5, which does not divide the width 384",
        ),
        (
            "{conditioning: [none, semantic], transformer_depth: 2}",
            "4",
            "transformer_depth: found 2, but nothing here attends to a condition",
        ),
        ("{heads: 6}", "4", "heads: found 6, which does not divide the width 128, at which there"),
        ("{channels: 24, multipliers: [1, 3], head_channels: 16}", "4", "the width 24, at which"),
        ("{heads: 4, head_channels: 16}", "4", "heads: found beside head_channels; allowed: one"),
        (
            "{multipliers: [1, 2, 2, 2]}",
            "[4, 8]",
            "multipliers: found 4 levels, which a latent of 4 x 4 cannot be halved into;"
            " allowed: 3 or fewer",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_trains(denoiser, f, text, tmp_path):
    assert text in problems(tmp_path, denoiser, f)


def test_a_preset_fills_what_is_not_written(tmp_path):
    loaded = suite(tmp_path, "{preset: ldm-4-celebahq, channels: 32, heads: 4, batch: 8}")
    check_suite(loaded)
    (point,) = points(loaded.written)
    made = point.spec.denoiser
    assert (made.channels, made.heads, made.head_channels, made.batch) == (32, 4, None, 8)
    assert (made.multipliers, made.blocks, made.conditioning) == ((1, 2, 3, 4), 2, "none")
    assert made.learning_rate == 9.6e-5
    plain = suite(
        tmp_path,
        "{channels: 32, heads: 4, batch: 8, multipliers: [1, 2, 3, 4], blocks: 2,"
        " attention_sizes: [32, 16, 8], conditioning: none, learning_rate: 9.6e-5}",
    )
    keys = [{s.key for s in build_plan(each).stages} for each in (loaded, plain)]
    assert keys[0] == keys[1]


def test_the_betas_of_a_preset_are_not_those_of_a_flow(tmp_path):
    loaded = suite(tmp_path, "{preset: dit-s-2, objective: flow, shift: 2}", sampler="euler")
    check_suite(loaded)
    (point,) = points(loaded.written)
    assert (point.spec.denoiser.beta_end, point.spec.denoiser.width) == (0.0195, 384)


def test_presets_are_an_axis(tmp_path):
    loaded = suite(tmp_path, "{preset: [dit-s-2, dit-b-4], depth: 2}")
    check_suite(loaded)
    found = {point.model: point.spec.denoiser for point in points(loaded.written)}
    assert list(found) == ["ldm[preset=dit-s-2]", "ldm[preset=dit-b-4]"]
    sizes = [(d.network, d.patch, d.depth, d.width, d.heads) for d in found.values()]
    assert sizes == [("dit", 2, 2, 384, 6), ("dit", 4, 2, 768, 12)]
    assert {d.conditioning for d in found.values()} == {"class"}


@pytest.mark.parametrize(
    ("denoiser", "text"),
    [
        ("{preset: dit-s-3}", "denoiser.preset: found 'dit-s-3' (did you mean 'dit-s-"),
        (
            "{preset: [dit-s-2, ldm-4-celebahq]}",
            "denoiser.preset: found presets that differ in network (dit, unet); allowed: presets",
        ),
        ("{preset: [dit-s-2, dit-s-8], width: 100}", "width: found 100"),
        ("{preset: [dit-s-4, dit-b-4], heads: 5}", "found 5, which does not divide the width 768"),
        ("{preset: dit-s-2, channels: 32}", "channels: is a field of network unet"),
        (
            "{preset: [dit-s-2, dit-s-8]}",
            "denoiser.patch: found 8, which does not divide a latent of 4 x 4",
        ),
    ],
)
def test_a_preset_that_does_not_fit_is_refused(denoiser, text, tmp_path):
    assert text in problems(tmp_path, denoiser, "8")
