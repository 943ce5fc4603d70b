"""The speed stage: what it counts is one model's, whatever else the worker has done."""

import json
import re
import weakref
from pathlib import Path

import pytest
import tiny
from shadow import NAME, ShadowDevice

from ldmbench.models.autoencoder import build_first_stage, save_first_stage
from ldmbench.models.subject import Work
from ldmbench.schema.models import AutoencoderParams
from ldmbench.schema.task import Task
from ldmbench.speed.energy import Energy
from ldmbench.speed.memory import PeakMemory
from ldmbench.speed.paired import Paired
from ldmbench.speed.timer import Timing
from ldmbench.stages import speed
from ldmbench.stages.common import autoencoder_at, prepare
from ldmbench.tensors.device import software_in_words

STAGES = Path(speed.__file__).parent


class FoundError(Exception):
    """The stage got as far as it should."""


def test_no_other_model_is_left_when_one_is_measured(tmp_path, monkeypatch):
    params = AutoencoderParams(f=1)
    save_first_stage(build_first_stage(params, seed=0), tmp_path, params=params, scale=1.0)
    other = weakref.ref(autoencoder_at(tmp_path, "cpu"))
    assert other() is autoencoder_at(tmp_path, "cpu")

    def subject_of(task, *, size):
        assert other() is None
        raise FoundError

    monkeypatch.setattr(speed, "subject_of", subject_of)
    task = Task(
        kind="speed",
        key="k",
        params=tiny.PARAMS["speed"],
        inputs={},
        output=tmp_path,
        scratch=tmp_path,
    )
    with pytest.raises(FoundError):
        speed.run(task, lambda share, note: None)


def test_what_outlives_a_task_is_what_speed_lets_go_of():
    kept = re.compile(r"\blru_cache\b|functools import .*\bcache\b")  # what let_go does not know
    assert [path.name for path in STAGES.glob("*.py") if kept.search(path.read_text())] == []


class Sampler:
    """A model of nothing: it remembers how many images it was asked for."""

    shape, needs_truth = (1, 2, 2), False

    def __init__(self):
        self.made = []

    def work(self, params):
        return Work(evaluations=1, denoiser=1)

    def draw(self, noise, *, condition, params, seeds):
        self.made.append(len(noise))


def told(monkeypatch, tmp_path, joules, seconds):
    """Return energy_per_image of batches of four that take `seconds`, and the batches made."""
    sampler, params = Sampler(), tiny.PARAMS["speed"]
    task = Task(kind="speed", key="k", params=params, inputs={}, output=tmp_path, scratch=tmp_path)
    times = Paired(Timing((seconds,) * 3), Timing((1.0,) * 3))
    monkeypatch.setattr(speed, "interleave", lambda calls, stick, **_: dict.fromkeys(calls, times))
    monkeypatch.setattr(speed, "subject_of", lambda task, *, size: sampler)
    monkeypatch.setattr(speed, "peak_memory", lambda call, *, device: PeakMemory(1, "live_tensors"))

    def measured(call, *, device):
        if joules is not None:
            call()
        return Energy(joules, None, reason=None if joules else "no counter")

    monkeypatch.setattr(speed, "measure_energy", measured)
    speed.run(task, lambda share, note: None)
    found = {m["name"]: m for m in json.loads((tmp_path / "measures.json").read_text())}
    return found["energy_per_image"], sampler.made


@pytest.mark.parametrize(("seconds", "batches"), [(0.3, 7), (0.5, 4), (5.0, 1)])
def test_energy_is_read_around_two_seconds_of_batches(monkeypatch, tmp_path, seconds, batches):
    energy, made = told(monkeypatch, tmp_path, 84.0, seconds)
    assert made == [4] * batches
    assert energy["value"] == pytest.approx(84.0 / (4 * batches))
    assert (energy["n"], energy["batch"]) == (batches, 4)


def test_without_a_counter_nothing_is_made_for_energy(monkeypatch, tmp_path):
    energy, made = told(monkeypatch, tmp_path, None, 0.3)
    assert (energy["value"], energy["reason"], made) == (None, "no counter", [])
    assert "n" not in energy


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (["flops"], {"evaluations", "flops_per_image", "parameters", "autoencoder_parameters"}),
        (["memory"], {"peak_memory"}),
    ],
)
def test_what_is_counted_alone_is_not_timed(monkeypatch, tmp_path, only, names):
    def never(*args, **more):
        raise FoundError

    for timing in ("interleave", "yardstick", "measure_energy"):
        monkeypatch.setattr(speed, timing, never)
    monkeypatch.setattr(speed, "peak_memory", lambda call, *, device: PeakMemory(1, "live_tensors"))
    sampler = Sampler()
    monkeypatch.setattr(speed, "subject_of", lambda task, *, size: sampler)
    params = {**tiny.PARAMS["speed"], "only": only}
    task = Task(kind="speed", key="k", params=params, inputs={}, output=tmp_path, scratch=tmp_path)
    speed.run(task, lambda share, note: None)
    assert {m["name"] for m in json.loads((tmp_path / "measures.json").read_text())} == names
    assert sampler.made == []


def test_a_speed_of_a_gpu_says_what_software_it_was_measured_with():
    with ShadowDevice():
        said = software_in_words("cuda:0")
    assert re.search(r"driver \S+, CUDA \S+, cuDNN \d+, torch \d\S+, TF32 off, determinis", said)
    assert software_in_words("cpu") == ""


def test_a_worker_says_of_a_gpu_how_it_computes():
    with ShadowDevice():
        machine = prepare("cuda:0")
    facts = {"device": NAME, "kind": "cuda", "tf32": False, "deterministic_convolutions": True}
    assert facts.items() <= machine.items()
    assert {"driver", "cuda", "cudnn", "torch_build", "capability"} <= machine.keys()
