"""DiT, SiT and a whole pipeline in one suite: checked, sampled, judged, counted and timed."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny

from ldmbench.cli import outcome
from ldmbench.errors import SuiteError
from ldmbench.models import load
from ldmbench.records.runs import Runs
from ldmbench.sample import initial_noise, step_seeds

TODAY = Path(__file__).parents[1] / "golden" / "today"
SUITE = f"""
suite: today
data:
  small: {{kind: shapes, resolution: 16, train: 32, reference: 32}}
  large: {{kind: shapes, resolution: 64, train: 32, reference: 32}}
models:
  dit: {{kind: load, path: {TODAY}/dit, data: large}}
  sit: {{kind: load, path: {TODAY}/sit, data: large, guidance_interval: [0.0, 0.6]}}
  sd3: {{kind: load, path: {TODAY}/pipe-sd3, data: small, call: {{max_sequence_length: 16}}}}
sample: {{sampler: euler, steps: 3, guidance: 2.0, count: 8, micro_batch: 4}}
metrics: [fid, precision]
probes: [throughput, latency, flops, reconstruction]
speed: {{batch: 2, repeats: 2}}
reconstruction_count: 32
mlflow: {{enabled: false}}
"""


plan_of = partial(tiny.planned, text=SUITE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("today")
    suite, store = tiny.write_suite(folder, SUITE), folder / "store"
    assert outcome(["run", str(suite), "--store", str(store)]) == 0
    all_runs = Runs(store)
    return suite, store, {r.cell.model: r for r in all_runs.records(all_runs.find().id)}


@pytest.mark.slow
def test_all_are_scored_counted_and_timed(finished):
    _, _, records = finished
    assert records["sd3"].cell.id == "sd3/small/own-3/g2/s0"
    assert records["sit"].cell.guidance_interval == (0.0, 0.6)
    for name, record in records.items():
        assert record.status == "done", name
        scores = {s.name: s.value for s in record.scores}
        assert scores["fid"] is not None
        assert scores["rfid"] is not None
        measures = {m.name: m.value for m in record.measures}
        asked = {"dit": 6, "sit": 4, "sd3": 6}[name]  # SiT's 3 points are 2 steps
        assert measures["evaluations"] == asked
        assert measures["throughput"] > 0
        assert measures["flops_per_image"] > 0
        assert measures["autoencoder_parameters"] > 0
        parts = {"text_seconds", "denoising_seconds", "decoding_seconds"}
        assert (parts <= set(measures)) == (name == "sd3")


@pytest.mark.slow
def test_samples_of_a_pipeline_are_those_of_its_own_call(finished):
    _, store, records = finished
    key = records["sd3"].keys["samples"]
    found = np.load(next((store / "samples").rglob(f"{key}*/**/images.npy")))
    captions = next((store / "samples").rglob(f"{key}*/**/captions.json")).read_text("utf-8")
    model, prompts = load(TODAY / "pipe-sd3"), json.loads(captions)[:4]
    made = model.call(
        prompts,
        steps=3,
        guidance=2.0,
        sides=(16, 16),
        noise=initial_noise(range(4), seed=0, shape=(16, 8, 8)),
        seeds=step_seeds(range(4), seed=0),
        output_type="pil",
        max_sequence_length=16,
    )
    near = np.abs(found[:4].astype(int) - np.stack([np.asarray(i) for i in made]).astype(int))
    assert near.max() <= 1


@pytest.mark.slow
def test_a_second_run_computes_nothing(finished, capsys):
    suite, store, _ = finished
    assert outcome(["run", str(suite), "--store", str(store), "--json"]) == 0
    assert '"executed": 0' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("max_sequence_length: 16", "max_lenght: 16"), "a StableDiffusion3Pipeline does not take"),
        (("max_sequence_length: 16", "guidance_scale: 3"), "which the suite sets"),
        (("resolution: 16", "resolution: 20"), "sides that 8 divides"),
        (("guidance_interval: [0.0, 0.6]", "call: {clip_skip: 1}"), "is of pipelines that sample"),
        (("call: {max_sequence_length: 16}", "guided_channels: 3"), "guides all channels"),
        (("throughput, latency", "coding, latency"), "samples by its own call"),
        (("sampler: euler", "sampler: ddim"), "cannot sample"),
        (("dit, data: large", "dit-train, data: large"), "names no first stage"),
    ],
)
def test_what_cannot_run_is_refused_by_the_plan(tmp_path, change, said):
    with pytest.raises(SuiteError, match=said):
        plan_of(tmp_path, text=SUITE.replace(*change))


def test_keys_follow_the_call_of_a_pipeline(tmp_path):
    def key(text):
        plan = plan_of(tmp_path, text=text)
        return next(c.stages["samples"] for c in plan.cells if c.model == "sd3")

    assert key(SUITE) == key(SUITE.replace("sampler: euler", "sampler: heun"))
    assert key(SUITE) != key(SUITE.replace("max_sequence_length: 16", "clip_skip: 1"))
