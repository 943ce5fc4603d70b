"""`run --devices N`: several processes train one model, as one process would."""

import json
import os
import signal
import threading
import time

import pytest
from safetensors.numpy import load_file

import ldmbench
from ldmbench.execute.step import _begin, _Where
from ldmbench.execute.team import Team
from ldmbench.records.runs import Runs
from ldmbench.stages import denoiser
from ldmbench.store.disk import Address, Store
from ldmbench.store.units import Unit
from ldmbench.train.loop import run_job

pytestmark = pytest.mark.slow

NEAR = 2e-4
"""Of the largest weight: AdamW normalises rounding noise where a gradient is zero."""

SUITE = {
    "suite": "devices",
    "data": {"shapes": {"kind": "shapes", "resolution": 16, "train": 32, "reference": 32}},
    "models": {
        "pixels": {
            "autoencoder": {"f": 1},
            "denoiser": {"channels": 8, "context_channels": 8, "multipliers": [1, 1], "batch": 5,
                         "conditioning": "class", "clip": 1.0},
            "budget": {"steps": 50},
        },
    },
    "sample": {"steps": 2, "count": 16},
    "metrics": ["fid"],
    "probes": ["device_days"],
    "mlflow": {"enabled": False},
}  # fmt: skip
FIRST_STAGE = {"f": 2, "channels": 8, "batch": 5, "budget": {"steps": 8}, "codebook": 16,
               "adversarial_start": 0.5, "regularization": "vq"}  # fmt: skip


def trained(run, kind="denoiser"):
    """Return the weights that a stage trained, by their names, and its cost."""
    folder = run._all_runs.root / kind / run.records[0].keys[kind]
    weights = {
        f"{file.relative_to(folder)}:{name}": value
        for file in sorted(folder.rglob("*.safetensors"))
        for name, value in load_file(file).items()
    }
    return weights, json.loads((folder / "cost.json").read_text())


def manifest_of(run, kind="denoiser"):
    """Return the manifest of a stage."""
    return Store(run._all_runs.root).lookup(Address(kind, run.records[0].keys[kind]))


def apart(one, other):
    """Return the largest difference of two models, as a share of the largest weight."""
    assert one.keys() == other.keys()
    largest = max(abs(value).max() for value in one.values())
    return max(abs(value - other[name]).max() for name, value in one.items()) / largest


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The weights of a training in one process."""
    return trained(ldmbench.run(SUITE, store=tmp_path_factory.mktemp("devices") / "one"))[0]


def test_two_processes_train_what_one_trains(alone, tmp_path):
    run = ldmbench.run(SUITE, store=tmp_path / "two", devices=2)
    weights, cost = trained(run)
    assert 0 < apart(alone, weights) <= NEAR
    assert cost["devices"] == 2
    assert cost["device_seconds"] == pytest.approx(2 * cost["seconds"])
    days = {m.name: m.value for m in run.records[0].measures}
    assert days["train_device_days"] * 86_400 == pytest.approx(cost["device_seconds"])
    assert manifest_of(run).machine["devices"] == 2


@pytest.mark.campaign
def test_four_processes_train_what_one_trains(tmp_path, monkeypatch):
    for user in ("ldmbench.session.run", "ldmbench.execute.local"):
        monkeypatch.setattr(f"{user}.cores", lambda: 4)  # a machine for tests may have two
    model = {**SUITE["models"]["pixels"], "budget": {"steps": 4}}
    suite = {**SUITE, "models": {"pixels": model}}
    (one, _), (four, cost) = (
        trained(ldmbench.run(suite, store=tmp_path / str(n), devices=n)) for n in (1, 4)
    )
    assert 0 < apart(one, four) <= NEAR
    assert cost["devices"] == 4  # three of them with one image of the five, one with two


def test_a_first_stage_is_trained_together_too(tmp_path):
    found = []
    model = {**SUITE["models"]["pixels"], "autoencoder": FIRST_STAGE, "budget": {"steps": 1}}
    for devices in (1, 2):
        suite = {**SUITE, "models": {"ldm": model}}
        run = ldmbench.run(suite, store=tmp_path / str(devices), devices=devices)
        weights, cost = trained(run, "autoencoder")
        assert cost["devices"] == devices
        found.append(weights)
    assert 0 < apart(*found) <= 10 * NEAR


def stopped_half_way(store, monkeypatch):
    """Leave the checkpoint of a training that one process began."""
    [run] = Runs(store).runs()
    plan = Runs(store).plan(run.id)
    [stage] = [stage for stage in plan.stages if stage.kind == "denoiser"]
    where = _Where("cpu", None, 1)
    task = _begin(Unit(stage), Store(store), plan.by_key(), where, anew=False).task

    def report(fraction, note):
        if fraction >= 0.5:
            raise KeyboardInterrupt

    def often(*given, **how):
        return run_job(*given, **(how | {"checkpoint_seconds": 0.0}))

    monkeypatch.setattr("ldmbench.train.denoiser.run_job", often)
    monkeypatch.setattr("ldmbench.train.loop.REPORT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        denoiser.run(task, report)
    monkeypatch.undo()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_fails_the_stage_and_the_same_command_goes_on(
    rank, alone, tmp_path, monkeypatch
):
    store, start = tmp_path / "store", Team._start

    def kill(process):
        while not process._process:
            time.sleep(0.01)
        os.kill(process._process.pid, signal.SIGKILL)

    def started(self, *given):
        start(self, *given)
        threading.Thread(target=kill, args=(self._processes[rank],), daemon=True).start()

    with monkeypatch.context() as patched:
        patched.setattr(Team, "_start", started)
        reasons = set(ldmbench.run(SUITE, store=store, devices=2).failed.values())
    assert len(reasons) == 1
    assert f"({rank + 1} of 2) was killed (signal 9)" in reasons.pop()
    with monkeypatch.context() as patched:
        stopped_half_way(store, patched)
    run = ldmbench.run(SUITE, store=store, devices=2)
    assert not run.failed
    weights, cost = trained(run)
    assert apart(alone, weights) <= NEAR
    assert cost["attempts"] == 2


@pytest.mark.parametrize(
    ("devices", "said"),
    [(100_000, "--devices 100000: the denoiser of models.pixels trains with batches of 5 images"),
     (5, "--devices 5: a model is trained on as many devices of one machine, which has")],
)  # fmt: skip
def test_more_devices_than_there_are_is_one_sentence(devices, said, tmp_path, monkeypatch):
    monkeypatch.setattr("ldmbench.session.run.cores", lambda: 2)
    with pytest.raises(ldmbench.InputError, match=said) as error:
        ldmbench.run(SUITE, store=tmp_path, devices=devices)
    assert "\n" not in str(error.value)
    assert not [*tmp_path.iterdir()]
