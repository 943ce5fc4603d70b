"""The loss on unseen images: what it is for a network that is known, on every path."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ldmbench.data.shapes import render
from ldmbench.models.denoiser import build_denoiser
from ldmbench.models.suite_model import SuiteModel
from ldmbench.plan.names import names_of
from ldmbench.sample.flow import Flow
from ldmbench.sample.paths import noise_of, path_at, target_of
from ldmbench.schema.models import DenoiserParams
from ldmbench.schema.params import CodingParams, ValidationParams, read_params
from ldmbench.session.planning import planned
from ldmbench.stages import coding, validation

SHAPES = render(np.arange(40), resolution=8)


class Images:
    def __len__(self):
        return 40

    def images(self, rows):
        return SHAPES.images[rows]

    def labels(self, rows):
        return SHAPES.labels[rows]

    def captions(self, rows):
        return [SHAPES.captions[i] for i in rows]


def measured(folder, monkeypatch, objective):
    """Return what is measured of a network whose output is zero."""
    fields = {"channels": 8, "conditioning": "none", "objective": objective}
    params = DenoiserParams(**fields)
    made = build_denoiser(params, latent_channels=3, latent_size=8, seed=0)
    torch.nn.init.zeros_(made.unet.conv_out.weight)
    torch.nn.init.zeros_(made.unet.conv_out.bias)
    monkeypatch.setattr(validation, "model_of", lambda task, progress: SuiteModel(made.model()))
    monkeypatch.setattr(validation, "images_of", lambda task: Images())
    params = ValidationParams(progress=1.0, times=8)
    task = SimpleNamespace(params=params, device="cpu", inputs={}, output=folder)
    coding.run(task, lambda share, note: None)
    return json.loads((folder / "validation.json").read_text())


def test_a_network_without_an_output_loses_the_noise(tmp_path, monkeypatch):
    found = measured(tmp_path, monkeypatch, "eps")
    assert found["value"] == pytest.approx(1, abs=0.02)
    assert found["low"] < found["value"] < found["high"]
    assert found["n"] == 40
    assert [*found["times"]] == [str(i / 8) for i in range(8)]
    assert found == measured(tmp_path, monkeypatch, "eps")


def test_the_loss_is_that_of_the_objective(tmp_path, monkeypatch):
    found = measured(tmp_path, monkeypatch, "v")
    x = SHAPES.images / 127.5 - 1
    times = [*found["times"].values()]
    assert times[0] == pytest.approx(1, abs=0.05)  # v is noise where there is none yet
    assert times[-1] == pytest.approx((x**2).mean(), abs=0.05)  # and the image where all is noise
    flow = measured(tmp_path, monkeypatch, "flow")
    assert flow["value"] == pytest.approx(1 + (x**2).mean(), abs=0.05)  # noise - image, at any time


@pytest.mark.parametrize("path", ["linear", "cosine", "vp"])
@pytest.mark.parametrize("noise_at", [0, 1])
def test_flows_are_asked_for_the_slope_of_their_path(path, noise_at):
    flow = Flow(path=path, noise_at=noise_at)
    g = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(5, 2, 3, 3, generator=g, dtype=torch.float64) for _ in range(2))
    t, h = torch.linspace(0.1, 0.9, 5, dtype=torch.float64), 1e-5
    slope = (path_at(flow, clean, noise, t + h) - path_at(flow, clean, noise, t - h)) / (2 * h)
    target = target_of(flow, clean, noise, t)
    assert torch.allclose(target, slope, atol=1e-6)
    assert torch.allclose(noise_of(flow, target, path_at(flow, clean, noise, t), t), noise)


def test_the_probe_is_planned_beside_coding_and_moves_nothing_else(tmp_path):
    suite = tmp_path / "s.yaml"
    suite.write_text("""
suite: s
protocol: shapes-v1
data: {shapes: {kind: shapes, resolution: 16, train: 64, reference: 64}}
models:
  ldm: {autoencoder: {f: 1}, denoiser: {channels: 8, conditioning: none}, budget: {steps: 2}}
sample: {steps: 5, count: 32}
metrics: [fid]
probes: [coding]
""")
    _, before = planned(suite, (), (), store=tmp_path / "store")
    both = ["probes=[coding, validation_loss]"]
    _, plan = planned(suite, both, (), store=tmp_path / "store")
    assert {s.key for s in before.stages} < {s.key for s in plan.stages}
    stage = plan.by_key()[plan.cells[0].stages["validation_loss"]]
    assert stage.params == ValidationParams(progress=1.0, times=8)
    assert names_of(plan)[stage.key] == "coding validation ldm/shapes/ddim-5"
    assert stage.inputs["images"].count == 64
    assert isinstance(read_params("coding", {"progress": 0.5}), CodingParams)
