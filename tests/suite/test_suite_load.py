"""Suites: every error of a file in one pass, each with its place, what was found and allowed."""

import pytest

from ldmbench.errors import InputError, SuiteError
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

GOOD = """
suite: demo
data:
  shapes: {kind: shapes, resolution: 32, train: 64, reference: 64}
models:
  ldm:
    autoencoder: {f: [1, 4]}
    denoiser: {conditioning: caption}
    budget: {steps: 5}
sample: {steps: [5, 10], count: 8}
metrics: [fid]
"""


def write(path, text):
    file = path / "suite.yaml"
    file.write_text(text)
    return file


def problems(path, text, sets=()):
    file = write(path, text)
    with pytest.raises(SuiteError) as caught:
        check_suite(load_suite(file, sets))
    return caught.value.problems


def test_defaults_are_filled_in_and_lists_are_axes(tmp_path):
    written = load_suite(write(tmp_path, GOOD)).written
    assert written.models["ldm"].autoencoder.f == (1, 4)
    assert written.sample.steps == (5, 10)
    assert written.sample.sampler == "ddim"


def test_every_error_in_one_pass_with_its_line(tmp_path):
    text = """suite: demo
data:
  shapes: {kind: shapes, resolution: [32, x], tran: 5}
  other:
    kind: fold
models:
  ldm:
    autoencoder: {f: [1, 3], regularisation: kl}
    budget: {steps: 5, images: 3}
  two:
    denoiser: {channels: 63}
sample: {steps: ten, seed: -1}
metrics: [fidd, kid]
protocl: x
"""
    found = problems(tmp_path, text)
    where = f"{tmp_path}/suite.yaml"
    for line, part in [
        (3, "data.shapes.resolution[1]: found 'x'"),
        (3, "data.shapes.tran: unknown key (did you mean 'train'?); allowed: kind, resolution"),
        (5, "data.other: unknown kind 'fold' (did you mean 'folder'?); allowed: shapes, folder"),
        (8, "models.ldm.autoencoder.f[1]: found 3"),
        (8, "models.ldm.autoencoder.regularisation: unknown key (did you mean 'regularization'?)"),
        (9, "models.ldm.budget: state exactly one of steps, images, flops, device_minutes"),
        (11, "models.two.denoiser.channels: found 63"),
        (10, "models.two.budget: required, found nothing"),
        (12, "sample.steps: found 'ten'"),
        (12, "sample.seed: found -1"),
        (13, "metrics[0]: found 'fidd' (did you mean 'fid'?); allowed: fid, sfid"),
        (14, "protocl: unknown key (did you mean 'protocol'?)"),
    ]:
        near = {line - 1, line}  # a mapping on the line below its key may be named by the key
        assert any(any(p.startswith(f"{where}:{n}: {part}") for n in near) for p in found), (
            f"line {line}: {part} not in\n" + "\n".join(found)
        )
    assert len(found) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("models.ldm.autoencoder.f=32", "f = 32 is impossible at resolution 32"),
        ("protocol=shapes", "unknown protocol 'shapes' (did you mean 'shapes-v1'?)"),
        ("models.ldm.data=shape", "unknown dataset 'shape' (did you mean 'shapes'?)"),
        ("sample.checkpoint=0.5", "denoiser.checkpoints keeps 1"),
        ("sample.progress=0.5", "sample.progress: is called 'checkpoint' now"),
        ("data.shapes.validation=8", "unknown key; allowed: kind, resolution, texture"),
        ("reconstruct=8", "reconstruct: is called 'reconstruction_count' now"),
        ("data.shapes={kind: folder, path: nowhere}", "found 'nowhere', which is not there"),
    ],
)
def test_rules_across_fields(tmp_path, change, message):
    found = problems(tmp_path, GOOD, [change])
    assert any(message in p for p in found), found


def test_guidance_and_clip_score_need_a_condition(tmp_path):
    sets = ["models.ldm.denoiser.conditioning=none", "sample.guidance=2", "metrics=[clip_score]"]
    found = problems(tmp_path, GOOD, sets)
    assert any("cannot be guided" in p for p in found)
    assert any("clip_score needs a model with conditioning caption" in p for p in found)


def test_an_error_in_a_set_names_the_set(tmp_path):
    found = problems(tmp_path, GOOD, ["sample.guidance=abc"])
    assert found[0].startswith("--set sample.guidance=abc: sample.guidance: found 'abc'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("suite: [", "not YAML"),
        ("- a\n- b\n", "found no mapping"),
        ("", "found no mapping"),
        ("suite: a\nsuite: b\n", "duplicate key"),
    ],
)
def test_no_yaml(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        load_suite(write(tmp_path, text))


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such suite file"):
        load_suite(tmp_path / "nothing.yaml")


@pytest.mark.parametrize("change", ["nonsense", "sample.steps.deeper=1", "metrics.9=fid"])
def test_a_set_that_cannot_be(tmp_path, change):
    with pytest.raises(InputError, match="--set"):
        load_suite(write(tmp_path, GOOD), [change])


def test_a_set_reaches_names_with_dots(tmp_path):
    text = GOOD.replace("  ldm:", "  ldm.v2:")
    loaded = load_suite(write(tmp_path, text), ["models.ldm.v2.budget.steps=7"])
    assert loaded.written.models["ldm.v2"].budget.steps == 7


def test_the_digest_sees_values_and_not_spelling(tmp_path):
    plain = load_suite(write(tmp_path, GOOD)).digest
    spelled = GOOD.replace("sample: {", "# a remark\nsample: {eta: 0.0, ")
    assert load_suite(write(tmp_path, spelled)).digest == plain
    other = load_suite(write(tmp_path, GOOD), ["sample.count=9"]).digest
    assert other != plain


@pytest.mark.parametrize(
    ("changes", "steps", "message"),
    [
        (["sample.sampler=ddim"], 1000, "start at timestep 1000, past T - 1 = 999; ask for fewer"),
        (["sample.sampler=ddpm"], 2000, "from 1 to T = 1000, found 2000"),
        (["models.ldm.denoiser.timesteps=100"], 200, "from 1 to T = 100, found 200"),
        (["sample.timesteps=compvis"], 300, "ask for 250 or 334 steps"),
        (["protocol=ldm-2112.10752"], 300, "ask for 250 or 334 steps"),
        (
            ["sample.timesteps=[leading, trailing]"],
            61,
            "end at timestep -1, before 0; ask for a few",
        ),
        (["sample.sampler=dpm++", "sample.timesteps=linspace"], 1000, "one timestep twice"),
    ],
)
def test_steps_that_a_sampler_cannot_take_are_told(tmp_path, changes, steps, message):
    found = problems(tmp_path, GOOD, [*changes, f"sample.steps=[50, {steps}]"])
    (said,) = found
    assert f"sample.steps: found {steps}, which " in said
    assert " cannot use with models.ldm (denoiser.timesteps: " in said
    assert message in said


def test_the_whole_chain_and_cells_that_are_left_out_are_no_error(tmp_path):
    file = write(tmp_path, GOOD)
    check_suite(load_suite(file, ["sample.steps=[500, 999]"]))
    check_suite(load_suite(file, ["sample.sampler=ddpm", "sample.steps=1000"]))
    both = ["sample.sampler=[ddim, ddpm]", "sample.steps=[50, 1000]"]
    check_suite(load_suite(file, [*both, "exclude=['*ddim-1000*']"]))
    with pytest.raises(SuiteError, match="found 1000, which ddim cannot use"):
        check_suite(load_suite(file, both))


def test_a_protocols_own_steps_are_checked_too(tmp_path):
    text = GOOD.replace("  shapes:", "  celebahq-256:").replace("steps: [5, 10], ", "")
    sets = ["protocol=ldm-2112.10752", "models.ldm.denoiser.timesteps=100"]
    found = problems(tmp_path, text, sets)
    assert any("sample.steps: found 500, which ddim cannot use" in p for p in found), found


def test_shapes_are_drawn_up_to_a_side(tmp_path):
    sets = ["data.shapes.resolution=[32, 2048]"]
    (said,) = problems(tmp_path, GOOD, sets)
    assert "data.shapes.resolution: found 2048, but shapes are drawn at 8 to 1024 pixels" in said


def test_classes_that_a_protocol_draws_are_counted_by_the_suite(tmp_path):
    (tmp_path / "mine.py").write_text("def mine(indices, **told):\n    return None\n")
    text = GOOD.replace("{kind: shapes, ", "{kind: call, target: 'mine:mine', ")
    sets = [
        "protocol={base: shapes-v1, classes: balanced}",
        "models.ldm.denoiser.conditioning=class",
    ]
    (said,) = problems(tmp_path, text, sets)
    assert "data.shapes.classes: required, found nothing; shapes-v1" in said
    assert said.endswith("write how many there are, such as classes: 10")
    check_suite(load_suite(write(tmp_path, text), [*sets, "data.shapes.classes=10"]))
    check_suite(load_suite(write(tmp_path, text), sets[1:]))
