"""What training cost: days of a named device, and a sum only where the devices are one."""

import json
from types import SimpleNamespace

import pytest

from ldmbench.execute.step import Outcome, run_unit
from ldmbench.records.collect import _costs
from ldmbench.schema.stage import Stage
from ldmbench.store.disk import Store
from ldmbench.store.units import Unit

GPU, CPU, OTHER = "NVIDIA H200", "AMD EPYC x 1 threads", "Intel Xeon x 1 threads"
DAY = 86_400.0
SUMS = ("total_device_days", "amortised_device_days", "v100_days", "cost")


def costs(folder, first, denoiser):
    """Return the measures of a cell whose parts took (seconds, device)."""
    store, stages = Store(folder), {}
    for kind, (seconds, device) in (("autoencoder", first), ("denoiser", denoiser)):
        stages[kind] = Stage(kind=kind, key=kind, params={}, inputs={})
        cost = {"seconds": seconds, "device": device, "flops": 1.0, "steps": 2, "images": 3}

        def execute(task, cost=cost):
            (task.output / "cost.json").write_text(json.dumps(cost))
            return Outcome(0.0, {})

        run_unit(Unit(stages[kind]), store, stages, execute=execute, device="cpu")
    cell = SimpleNamespace(progress=1.0, stages={kind: kind for kind in stages})
    plan = SimpleNamespace(cells=(cell,), v100_factor=2.0, price_per_device_hour=1.0)
    return {m.name: m for m in _costs(cell, plan, stages, store)}


def test_days_of_one_device_add_up(tmp_path):
    found = costs(tmp_path, (DAY, GPU), (2 * DAY, GPU))
    assert [found[name].value for name in SUMS] == [3.0, 3.0, 6.0, 72.0]
    assert {m.device for m in found.values()} == {GPU}
    assert all(m.reason is None for m in found.values())


@pytest.mark.parametrize(("first", "denoiser"), [(CPU, GPU), (GPU, CPU), (CPU, OTHER)])
def test_days_of_two_devices_have_no_sum(tmp_path, first, denoiser):
    found = costs(tmp_path, (DAY, first), (2 * DAY, denoiser))
    assert (found["train_device_days"].value, found["train_device_days"].device) == (2.0, denoiser)
    days = found["autoencoder_device_days"]
    assert (days.value, days.device) == (1.0, first)
    for name in SUMS:
        assert found[name].value is None
        assert first in found[name].reason
        assert denoiser in found[name].reason
    assert found["train_flops"].value == 1.0


def test_the_identity_trains_nowhere(tmp_path):
    found = costs(tmp_path, (0.0, CPU), (2 * DAY, GPU))
    assert [found[name].value for name in SUMS] == [2.0, 2.0, 4.0, 48.0]
    assert {m.device for m in found.values()} == {GPU}
