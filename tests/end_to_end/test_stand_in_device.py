"""A whole suite on a stand-in for a GPU: no operator mixes devices, and numbers equal the CPU's."""

import contextlib
import traceback

import numpy as np
import pytest
import tiny
import torch
from shadow import MixedDevicesError, ShadowDevice

from ldmbench.catalog.metrics import METRICS
from ldmbench.execute.execution import run_plan
from ldmbench.execute.runner import Runner
from ldmbench.pipeline import STAGES
from ldmbench.records.collect import collect_record
from ldmbench.registry import resolve
from ldmbench.session.planning import planned
from ldmbench.stages.common import let_go, prepare
from ldmbench.store.disk import Store
from ldmbench.store.units import units_of

SUITE = """
suite: stand_in
data:
  shapes: {kind: shapes, resolution: 16, train: 48, reference: 32}
models:
  latent:
    autoencoder: {regularization: kl, f: 2, channels: 8, budget: {steps: 3}, batch: 4}
    denoiser: {channels: 8, context_channels: 8, batch: 4, multipliers: [1, 1], warmup: 1}
    budget: {steps: 3}
sample: {steps: 2, count: 24, micro_batch: 8, guidance: 2.0}
metrics: [METRICS]
probes: [flops, memory, device_days, reconstruction, coding]
reconstruction_count: 16
mlflow: {enabled: false}
"""
EVERY = [
    row
    for row in METRICS.values()
    if row.in_suite and not row.family.networks and not row.family.defined_on
]
"""Metrics of a suite whose networks ship."""
TRAINED = ("autoencoder", "latents", "denoiser", "samples", "reconstructions")


class InProcess(Runner):
    """Runs tasks here; `mode` is what each of them runs within."""

    def __init__(self, device, mode):
        super().__init__(device)
        self.mode = mode
        with mode:
            self.machine = prepare(device)

    def events(self, task):
        try:
            with self.mode:
                resolve(STAGES[task.kind].run)(task, lambda *_: None)
        except Exception:
            yield {"event": "failed", "message": traceback.format_exc()}
        else:
            yield {"event": "done", "seconds": 0.0}

    def close(self):
        pass


class Silent:
    def __getattr__(self, name):
        return lambda *_, **__: None


def run_on(device, mode, folder):
    """Return the record of the one cell, and the digests of weights, latents and images."""
    folder.mkdir()
    store = Store(folder / "store")
    store.open()
    suite = tiny.write_suite(folder, SUITE.replace("METRICS", ", ".join(m.name for m in EVERY)))
    _, plan = planned(suite, (), (), store=store.root)
    ended = run_plan(plan, store, runners=[InProcess(device, mode)], listener=Silent(), machines=())
    assert not ended.failed, next(iter(ended.failed.values()))
    no_text_encoder = set(STAGES) - {"contexts"}
    assert {stage.kind for stage in plan.stages} == no_text_encoder
    record = collect_record(plan.cells[0], plan, store, run="r", failed={}, stale=())
    made = {
        (stage.kind, file): found
        for stage in plan.stages
        for unit in units_of(stage)
        for file, found in store.lookup(unit.address).outputs.items()
        if stage.kind in TRAINED and file.endswith((".safetensors", ".npy"))
    }
    return record, made


@pytest.mark.slow
def test_a_suite_on_the_stand_in_equals_the_cpu(tmp_path):
    stand_in = ShadowDevice()
    on_cpu, made_on_cpu = run_on("cpu", contextlib.nullcontext(), tmp_path / "cpu")
    on_gpu, made_on_gpu = run_on("cuda:0", stand_in, tmp_path / "gpu")
    assert made_on_gpu == made_on_cpu  # weights, latents and samples, byte for byte
    assert {kind for kind, _ in made_on_cpu} == set(TRAINED)
    assert {row.name for row in EVERY} < {score.name for score in on_gpu.scores}
    for here, there in zip(on_cpu.scores, on_gpu.scores, strict=True):
        assert there.value == pytest.approx(here.value, rel=1e-12), here.name
    assert stand_in.copies["to", "to"] > 0  # it was on the device
    with stand_in:
        let_go()
    assert stand_in.living() == 0


@pytest.mark.parametrize(
    "fault",
    [
        lambda x: x + torch.ones(3),
        lambda x: torch.cat([x, torch.ones(3)]),
        lambda x: torch.nn.functional.linear(x, torch.ones(2, 3)),
        lambda x: torch.ones(3)[x.long()],
        lambda x: torch.randn(3, device=x.device, generator=torch.Generator()),
        lambda x: x.numpy(),
        lambda x: np.asarray(x),
        lambda x: torch.nn.Linear(3, 3)(x),
    ],
)
def test_the_stand_in_refuses_what_a_gpu_does(fault):
    with ShadowDevice():
        x = torch.ones(3, device="cuda")
        with pytest.raises((MixedDevicesError, TypeError)):
            fault(x)


def test_the_stand_in_counts_copies():
    with ShadowDevice() as stand_in:
        x = torch.ones(3).to("cuda:0")
        assert (x.cpu() + 1).device.type == "cpu"
        assert (x * 2 + 1).device.type == "cuda"
        float(x.sum())
    assert stand_in.copies == {("to", "to"): 1, ("from", "cpu"): 1, ("sync", "__float__"): 1}
