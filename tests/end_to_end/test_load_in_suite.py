"""Released models in a suite: checked, sampled, judged, timed and reported beside trained ones."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny

from ldmbench.cli import outcome
from ldmbench.errors import SuiteError
from ldmbench.models import load
from ldmbench.plan.build import build_plan
from ldmbench.records.runs import Runs
from ldmbench.sample import initial_noise
from ldmbench.sources.models.peek import model_digest, peek
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parents[1] / "golden"
COMPVIS, DIFFUSERS = GOLDEN / "compvis" / "ldm-uncond-vqf4", GOLDEN / "diffusers" / "ldm"
SUITE = f"""
suite: released
data:
  small: {{kind: shapes, resolution: 32, train: 32, reference: 32}}
  large: {{kind: shapes, resolution: 64, train: 32, reference: 32}}
models:
  folder: {{kind: load, path: {DIFFUSERS}, data: small}}
  zoo: {{kind: load, path: {COMPVIS}, data: large}}
  trained:
    autoencoder: {{f: 1}}
    denoiser: {{channels: 8, batch: 4, multipliers: [1, 1], warmup: 1, conditioning: none}}
    budget: {{steps: 2}}
    data: small
sample: {{steps: 2, count: 16, micro_batch: 8}}
metrics: [fid, precision]
probes: [throughput, flops, coding, reconstruction, device_days]
speed: {{batch: 2, repeats: 2}}
reconstruction_count: 32
mlflow: {{enabled: false}}
"""


def plan_of(folder, *sets, text=SUITE):
    return build_plan(load_suite(tiny.write_suite(folder, text), sets))


def stage(plan, cell, role):
    return plan.by_key()[cell.stages[role]]


def cell_of(plan, name):
    return next(c for c in plan.cells if c.model.startswith(name))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    suite, store = tiny.write_suite(folder, SUITE), folder / "store"
    assert outcome(["run", str(suite), "--store", str(store)]) == 0
    all_runs = Runs(store)
    return suite, store, {r.cell.model: r for r in all_runs.records(all_runs.find().id)}


def test_loaded_models_are_scored_judged_and_timed_beside_trained_ones(finished):
    _, _, records = finished
    assert set(records) == {"folder", "zoo", "trained"}
    for name, record in records.items():
        scores = {s.name: s.value for s in record.scores}
        assert scores["fid"] is not None
        assert scores["precision"] is not None
        measures = {m.name: m.value for m in record.measures}
        assert measures["throughput"] > 0
        assert measures["flops_per_image"] > 0
        assert measures["parameters"] > 0
        if name != "trained":
            assert {"rfid", "psnr", "ssim"} <= set(scores)
            assert measures["rate"] > 0
            assert measures["code_entropy"] >= 0
            assert "train_device_days" not in measures


def test_rules_of_the_source_show_in_cell_and_signature(finished):
    _, _, records = finished
    zoo, folder = records["zoo"], records["folder"]
    assert (zoo.cell.timesteps, zoo.cell.quantize, zoo.cell.weights) == (
        "compvis", "truncate", "ema",
    )  # fmt: skip
    assert zoo.cell.weights_from == "model.ckpt [state_dict.model_ema]"
    assert folder.cell.weights_from == "unet/diffusion_pytorch_model.safetensors"
    assert zoo.cell.f == 4
    assert zoo.cell.regularization == "vq"
    for score in zoo.scores:
        assert "|quant:truncate|" in score.signature
    assert "|model:compvis-steps,ema" in zoo.scores[0].signature
    assert [s.name for s in zoo.scores if "|resampled:pairs" in s.signature] == ["rfid"]
    assert folder.cell.quantize == "round"
    assert "|model:" not in records["trained"].scores[0].signature
    assert records["trained"].cell.timesteps == "leading"


def test_samples_are_those_of_the_loaded_model(finished):
    _suite, store, records = finished
    key = records["zoo"].keys["samples"]
    found = np.load(next((store / "samples").rglob(f"{key}*/**/images.npy")))
    model = load(COMPVIS)
    noise = initial_noise(range(8), seed=0, shape=model.info.latent_shape)
    wanted = model.sample(noise, steps=2)
    near = np.abs(found[:8].astype(int) - wanted.astype(int))
    assert near.max() <= 1
    assert (near > 0).mean() < 0.001


def test_again_runs_nothing_and_a_moved_checkpoint_is_the_same(finished, tmp_path, capsys):
    suite, store, _ = finished
    moved = shutil.copytree(COMPVIS, tmp_path / "moved")
    capsys.readouterr()
    change = ["--set", f"models.zoo.path={moved}"]
    assert outcome(["run", str(suite), "--store", str(store), "--json", *change]) == 0
    assert json.loads(capsys.readouterr().out)["executed"] == 0
    assert outcome(["plan", str(suite), "--store", str(store)]) == 0
    assert "weights of zoo: model.ckpt [state_dict.model_ema] (ema)" in capsys.readouterr().out


def test_the_digest_is_the_loaded_models(tmp_path):
    for path in (COMPVIS, DIFFUSERS, GOLDEN / "compvis" / "kl-f8"):
        facts, info = peek(path), load(path).info
        assert model_digest(path, tmp_path / "cache.json") == info.digest
        assert model_digest(path, tmp_path / "cache.json") == info.digest
        same = ("f", "conditioning", "regularization", "quantize", "timesteps", "weights",
                "null_class", "source")  # fmt: skip
        assert [getattr(facts, n) for n in same] == [getattr(info, n) for n in same]
        assert facts.sides == tuple(info.f * side for side in info.latent_shape[1:])


def test_what_changes_the_key(tmp_path):
    before = plan_of(tmp_path)
    zoo = cell_of(before, "zoo")
    for change, role in [
        ("models.zoo.ema=false", "denoiser"),
        ("sample.timesteps=leading", "samples"),
        ("sample.quantize=round", "samples"),
    ]:
        after = plan_of(tmp_path, change)
        assert cell_of(after, "zoo").stages[role] != zoo.stages[role], change
        assert cell_of(after, "zoo").stages["autoencoder"] == zoo.stages["autoencoder"]
    after = plan_of(tmp_path, "models.zoo.ignore=['teacher.*']")
    assert cell_of(after, "zoo").stages["denoiser"] != zoo.stages["denoiser"]
    copied = Path(shutil.copytree(COMPVIS, tmp_path / "copied"))
    config = copied / "config.yaml"
    config.write_text(config.read_text() + "\n# another content\n")
    after = plan_of(tmp_path, f"models.zoo.path={copied}")
    assert cell_of(after, "zoo").stages["samples"] != zoo.stages["samples"]


def test_trained_models_keep_their_rules(tmp_path):
    plan = plan_of(tmp_path)
    params = stage(plan, cell_of(plan, "trained"), "samples").params
    assert (params.timesteps, params.quantize) == ("leading", "round")
    explicit = plan_of(tmp_path, "sample.timesteps=leading", "sample.quantize=round")
    assert cell_of(plan, "trained").stages == cell_of(explicit, "trained").stages


def test_everything_missing_is_said_at_once(tmp_path):
    text = SUITE.replace(str(DIFFUSERS), "./ldm-celebahq-256").replace(
        str(COMPVIS), "celeba256/model.ckpt"
    )
    with pytest.raises(SuiteError) as caught:
        check_suite(load_suite(tiny.write_suite(tmp_path, text)))
    problems = caught.value.problems
    assert len(problems) == 3
    assert "2 files or folders have to be on disk" in problems[2]
    assert f"{tmp_path}/tiny.yaml:7: models.folder.path: found './ldm-celebahq-256'" in problems[0]
    assert "CompVis/ldm-celebahq-256 of the Hugging Face hub (unconditional" in problems[0]
    assert f"put the files of its repository into {tmp_path}/ldm-celebahq-256" in problems[0]
    assert "models.zoo.path: found 'celeba256/model.ckpt', which is not there" in problems[1]
    assert "this is celeba256 of the CompVis zoo (unconditional, CelebA-HQ, f = 4" in problems[1]
    assert f"put model.ckpt and config.yaml into {tmp_path}/celeba256" in problems[1]


def test_a_hub_id_is_taken_from_the_cache_else_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("LDMBENCH_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    text = SUITE.replace(str(DIFFUSERS), "CompVis/ldm-celebahq-256")
    suite = tiny.write_suite(tmp_path, text)
    with pytest.raises(SuiteError) as caught:
        check_suite(load_suite(suite))
    assert "found 'CompVis/ldm-celebahq-256', which is not there" in str(caught.value)
    assert "unconditional, CelebA-HQ" in str(caught.value)
    repo = tmp_path / "hub" / "models--CompVis--ldm-celebahq-256"
    shutil.copytree(DIFFUSERS, repo / "snapshots" / "abc")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    loaded = load_suite(suite)
    check_suite(loaded)
    held, there = build_plan(loaded), plan_of(tmp_path)
    assert cell_of(held, "folder").stages == cell_of(there, "folder").stages


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("models.zoo.data=small", "generates images of 64 x 64 (f = 4), but data.small has"),
        ("sample.guidance=2", "models.zoo has conditioning none"),
        ("sample.checkpoint=0.5", "found 0.5, but models.zoo"),
        ("models.zoo.config=nowhere.yaml", "found 'nowhere.yaml', which is not there"),
        ("models.zoo.paht=x", "unknown key (did you mean 'path'?)"),
        ("models.zoo.kind=loda", "did you mean 'load'?"),
    ],
)
def test_what_does_not_fit(tmp_path, change, message):
    with pytest.raises(SuiteError) as caught:
        check_suite(load_suite(tiny.write_suite(tmp_path, SUITE), [change]))
    assert message in str(caught.value)


def test_estimates_know_loaded_models(tmp_path, capsys):
    suite = tiny.write_suite(tmp_path, SUITE)
    assert outcome(["plan", str(suite), "--store", str(tmp_path / "s"), "--json"]) == 0
    rows = {row["kind"]: row for row in json.loads(capsys.readouterr().out)["stages"]}
    assert rows["samples"]["flops"] > 0


@pytest.mark.parametrize(
    ("config", "sets", "said"),
    [
        ({"rescale_betas_zero_snr": True}, ["sample.sampler=heun"], "heun would leave out"),
        ({"rescale_betas_zero_snr": True}, ["sample.sampler=[ddim,pndm]"], "pndm would leave out"),
        ({"prediction_type": "sample"}, ["sample.sampler=pndm", "sample.steps=5"], "clean latent"),
        ({"skip_prk_steps": False}, ["sample.sampler=pndm", "sample.steps=3"], "ask for 4 steps"),
        ({"skip_prk_steps": False, "timestep_spacing": "linspace"},
         ["sample.sampler=pndm", "sample.steps=5"], "the rule 'linspace' lays 5 of 1000 otherwise"),
        ({"algorithm_type": "sde-dpmsolver"}, ["sample.sampler=dpm++"], "draws noise at its steps"),
    ],
)  # fmt: skip
def test_samplers_that_cannot_run_its_scheduler_are_told(tmp_path, config, sets, said):
    shutil.copytree(DIFFUSERS, tmp_path / "m")
    place = tmp_path / "m" / "scheduler" / "scheduler_config.json"
    content = json.loads(place.read_text())
    place.chmod(0o644)
    place.write_text(json.dumps(content | config))
    text = "".join(
        line for line in SUITE.splitlines(True) if not line.startswith(("  zoo:", "  large:"))
    )
    text = text.replace(str(DIFFUSERS), str(tmp_path / "m"))
    a, b = text.index("  trained:"), text.index("sample:")
    suite = tiny.write_suite(tmp_path, text[:a] + text[b:])
    check_suite(load_suite(suite, []))
    with pytest.raises(SuiteError, match=said) as caught:
        check_suite(load_suite(suite, sets))
    (problem,) = caught.value.problems
    assert "sample.sampler: found " in problem
    assert "which models.folder cannot use: " in problem
