"""First stages alone in plans: their cells, and what is refused beside them."""

import pytest

from ldmbench.errors import SuiteError
from ldmbench.plan.build import build_plan
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

SUITE = """
suite: alone
data:
  shapes: {kind: shapes, resolution: 32, train: 64, reference: 64}
models:
  kl: {denoiser: null, autoencoder: {f: [2, 4], latents: [mode, sample]}}
  vq: {kind: ldm, denoiser: null, autoencoder: {regularization: vq, latents: [mode, sample]}}
  own: {kind: call, target: "coder:Coder"}
  ldm:
    autoencoder: {of: kl, latents: sample}
    denoiser: {channels: 8, conditioning: none}
    budget: {steps: 2}
sample: {steps: [5, 10], count: 8}
metrics: [fid, rfid]
probes: [throughput, device_days]
"""
CODER = """
class Coder:
    def encode(self, x):
        return x

    def decode(self, z):
        return z
"""


@pytest.fixture
def plan_of(tmp_path):
    (tmp_path / "coder.py").write_text(CODER)
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE)

    def build(*sets):
        loaded = load_suite(file, sets)
        check_suite(loaded)
        return build_plan(loaded)

    return build


def test_cells_have_no_sampler(plan_of):
    plan = plan_of()
    alone = [cell for cell in plan.cells if not cell.is_sampled]
    assert [cell.id for cell in alone] == [
        "kl[f=2,latents=mode]/shapes",
        "kl[f=2,latents=sample]/shapes",
        "kl[f=4,latents=mode]/shapes",
        "kl[f=4,latents=sample]/shapes",
        "vq/shapes",
        "own/shapes",
    ]
    for cell in alone:
        assert (cell.sampler, cell.steps, cell.eta, cell.guidance, cell.sample_seed) == (None,) * 5
        assert {"denoiser", "samples"}.isdisjoint(cell.stages)
    assert {cell.f for cell in plan.cells if cell.is_sampled} == {2, 4}


def test_a_first_stage_is_trained_once_for_itself_and_for_denoisers(plan_of):
    plan = plan_of()
    own = {cell.f: cell.stages["autoencoder"] for cell in plan.cells if cell.model.startswith("kl")}
    theirs = {c.f: c.stages["autoencoder"] for c in plan.cells if c.model.startswith("ldm")}
    assert own == theirs


def test_rfid_among_metrics_is_measured_under_denoisers_too(plan_of):
    cells = {cell.id: cell for cell in plan_of().cells}
    assert "shapes-v1:rfid" in cells["ldm[f=2]/shapes/ddim-5/g1/s0"].stages
    without = {cell.id: cell for cell in plan_of("metrics=[fid]").cells}
    assert "shapes-v1:rfid" not in without["ldm[f=2]/shapes/ddim-5/g1/s0"].stages
    assert "shapes-v1:rfid" in without["vq/shapes"].stages


def test_near_training_latents_are_looked_for_under_denoisers_too(plan_of):
    plan = plan_of("metrics=[fid, intrinsic_scale]")
    cells = {cell.id: cell for cell in plan.cells}
    stages = plan.by_key()
    of_ldm = cells["ldm[f=2]/shapes/ddim-5/g1/s0"].stages["shapes-v1:intrinsic"]
    near = stages[stages[of_ldm].inputs["generated"].key]
    assert (near.params.train, near.params.neighbours, near.params.posterior) == (64, 20, "sample")
    mode = stages[cells["kl[f=2,latents=mode]/shapes"].stages["shapes-v1:intrinsic"]]
    assert stages[mode.inputs["generated"].key].params.posterior == "mode"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("metrics=[intrinsic_scale] data.shapes.train=2", "data.shapes.train of 3 or more"),
        ("models.kl.budget={steps: 5}", "found budget beside denoiser: null"),
        ("models.kl.autoencoder.f=1", "which is the identity"),
        ("models.kl.autoencoder.flip=true", "unknown key"),
        ("models.ldm.init=vq", "a first stage without a denoiser"),
        ("data.shapes.resolution=10", "f = 4 is impossible"),
        ("models.kl.autoencoder={path: ./x, scale: 2.0}", "found scale beside path"),
        ("models.own={kind: load, path: ./nowhere, latents: mode}", "which is not there"),
    ],
)
def test_what_is_refused(plan_of, change, message):
    with pytest.raises(SuiteError) as caught:
        plan_of(*change.split(" ")) if change.startswith("metrics") else plan_of(change)
    assert message in str(caught.value)
