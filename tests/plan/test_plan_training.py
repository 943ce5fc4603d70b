"""Which trainings are compiled, in which precision, and what plan and run say of both."""

import pytest

from ldmbench.cli import outcome
from ldmbench.errors import InputError
from ldmbench.execute.fitness import check_fitness
from ldmbench.plan.training import COMPILE_FLOPS
from ldmbench.records.cautions import cautions_of
from ldmbench.session.planning import planned
from ldmbench.store.disk import Store

SUITE = """
suite: large
protocol: shapes-v1
data: {shapes: {kind: shapes, resolution: 32, train: 64, reference: 64}}
models:
  ldm:
    autoencoder: {f: 4, weights: shipped}
    denoiser: {channels: 32, conditioning: none}
    budget: {flops: 2.0e16}
sample: {steps: 5, count: 32}
metrics: [fid]
"""


def planned_as(folder, *sets, **more):
    suite = folder / "large.yaml"
    suite.write_text(SUITE)
    _, plan = planned(suite, sets, (), store=folder / "store", **more)
    [denoiser] = [stage for stage in plan.stages if stage.kind == "denoiser"]
    return plan, denoiser


def test_large_trainings_are_compiled_and_plan_says_so(tmp_path, capsys):
    plan, denoiser = planned_as(tmp_path)
    assert denoiser.params.section.compile
    assert denoiser.params.keyed()["compile"] is True
    [said] = [text for text in cautions_of(plan.cells[0], plan) if "compiled" in text]
    assert "at least 1e+16 FLOPs (here 2e+16); compile: false or --no-compile leaves" in said
    assert outcome(["plan", str(tmp_path / "large.yaml"), "--store", str(tmp_path / "store")]) == 0
    out, err = capsys.readouterr()
    assert "its denoiser is compiled" in out + err


@pytest.mark.parametrize(
    ("sets", "more"),
    [
        (["models.ldm.budget.flops=0.9e16"], {}),
        (["models.ldm.denoiser.compile=false"], {}),
        (["models.ldm.budget={device_minutes: 5}"], {}),
        (["models.ldm.denoiser.compile=true"], {"may_compile": False}),
        ([], {"may_compile": False}),
    ],
)
def test_others_are_not_and_their_key_is_that_of_before(sets, more, tmp_path):
    _, denoiser = planned_as(tmp_path, *sets, **more)
    assert denoiser.params.section.compile is None
    assert "compile" not in denoiser.params.keyed()
    assert COMPILE_FLOPS == 1e16


def test_a_small_training_is_compiled_where_the_suite_says_so(tmp_path):
    small = "models.ldm.budget.flops=1.0e9"
    plan, denoiser = planned_as(tmp_path, small, "models.ldm.denoiser.compile=true")
    assert denoiser.params.section.compile
    assert any("compiled for training" in text for text in cautions_of(plan.cells[0], plan))


def test_reduced_precision_is_keyed_and_said(tmp_path):
    low = "models.ldm.denoiser.precision=bfloat16"
    plan, denoiser = planned_as(tmp_path, low)
    assert denoiser.params.keyed()["precision"] == "bfloat16"
    assert any("bfloat16 (7 bits" in text for text in cautions_of(plan.cells[0], plan))
    swept, _ = (
        planned(
            tmp_path / "large.yaml",
            ["models.ldm.denoiser.precision=[float32, bfloat16]"],
            (),
            store=tmp_path / "store",
        )[1],
        None,
    )
    assert [c.model for c in swept.cells] == ["ldm[precision=float32]", "ldm[precision=bfloat16]"]


def test_a_precision_that_the_device_lacks_is_refused_before_anything_is_made(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("LDMBENCH_DEVICES", "cpu")
    planned_as(tmp_path)
    command = ["run", str(tmp_path / "large.yaml"), "--store", str(tmp_path / "store")]
    change = "models.ldm.denoiser.precision=tf32"
    assert outcome([*command, "--no-compile", "--set", change]) == 2
    said = capsys.readouterr().err
    assert "denoiser ldm: precision: found tf32, which processors lack" in said
    assert not list((tmp_path / "store").glob("denoiser/*"))


def test_a_network_is_not_compiled_without_a_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    plan, _ = planned_as(tmp_path)
    store = Store(tmp_path / "store")
    store.open()
    with pytest.raises(InputError, match=r"torch\.compile needs no-such-compiler on cpu"):
        check_fitness(plan, store, ["cpu"])
    check_fitness(planned_as(tmp_path, may_compile=False)[0], store, ["cpu"])
