"""Autoguidance: a weaker model guides; against loops by hand, in plans and in a suite."""

from functools import partial

import numpy as np
import pytest
import tiny
import torch

from ldmbench.cli import outcome
from ldmbench.errors import InputError, SuiteError
from ldmbench.models.conditioner import Brought
from ldmbench.models.denoiser import build_denoiser
from ldmbench.models.suite_model import SuiteModel
from ldmbench.records.runs import Runs
from ldmbench.sample import initial_noise
from ldmbench.schema.models import DenoiserParams
from ldmbench.schema.params import Sampling

LABELS = torch.tensor([0, 3, 5])
SUITE = """
suite: guided
data:
  shapes: {kind: shapes, resolution: 16, train: 32, reference: 16}
models:
  small:
    autoencoder: {f: 1}
    denoiser: {channels: 8, multipliers: [1], batch: 4, conditioning: class, warmup: 1}
    budget: {steps: 1}
  large:
    autoencoder: {f: 1}
    denoiser:
      channels: 8
      multipliers: [1, 1]
      batch: 4
      conditioning: class
      warmup: 1
      checkpoints: [0.5]
    budget: {steps: 4}
    guidance_model: [null, small, large@0.5]
sample: {steps: 4, count: 8, micro_batch: 8, guidance: 2.0}
metrics: [fid]
probes: [flops]
mlflow: {enabled: false}
"""


def made(seed, channels=8, **fields):
    params = DenoiserParams(
        **{"channels": channels, "multipliers": [1], "conditioning": "class", **fields}
    )
    denoiser = build_denoiser(
        params, latent_channels=3, latent_size=8, brought=Brought(classes=8, objects=1), seed=seed
    )
    for p in denoiser.parameters():  # the last layers begin at zero, and so would all predictions
        torch.nn.init.normal_(p, std=0.1, generator=torch.Generator().manual_seed(seed))
    return denoiser.eval().model()


def noise():
    return initial_noise(range(3), seed=0, shape=(3, 8, 8))


def sampled(model, guide=None, **more):
    way = {"steps": 5, "cond": LABELS, "decode": False, "guidance": 3.0, **more}
    return model.sample(noise(), guide=guide, **way)


@pytest.mark.parametrize("objective", ["eps", "v", "flow"])
def test_a_model_that_guides_itself_changes_nothing(objective):
    model = made(1, objective=objective)
    found, plain = sampled(model, model), sampled(model, guidance=1.0)
    assert torch.allclose(found, plain, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(sampled(model, made(2, objective=objective)), plain, atol=1e-3)
    assert torch.equal(sampled(model, made(2, objective=objective), guidance=1.0), plain)


def test_ddim_is_that_of_a_loop_by_hand():
    strong, weak = made(1, channels=16), made(2)
    low, high = 300, 900
    z, bars = noise(), strong.info.schedule.alphas_cumprod()
    for t in range(801, 0, -200):
        at = torch.full((3,), t)
        eps = strong.eps(z, at, LABELS)
        if low <= t <= high:
            base = weak.eps(z, at, LABELS)
            eps = base + 3.0 * (eps - base)
        now, after = float(bars[t]), float(bars[t - 200]) if t > 200 else float(bars[0])
        clean = (z - (1 - now) ** 0.5 * eps) / now**0.5
        z = after**0.5 * clean + (1 - after) ** 0.5 * eps
    found = sampled(strong, weak, guidance_interval=(low, high))
    assert torch.allclose(found, z, rtol=1e-3, atol=1e-3)


def test_eulers_flow_is_that_of_a_loop_by_hand():
    strong, weak = made(1, objective="flow", channels=16), made(2, objective="flow")
    z = noise()
    for step in range(5):
        at = torch.full((3,), 1 - step / 5)
        base, own = weak.velocity(z, at, LABELS), strong.velocity(z, at, LABELS)
        z = z - (base + 3.0 * (own - base)) / 5
    assert torch.allclose(sampled(strong, weak), z, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"objective": "v"}, "it predicts v_prediction, not epsilon"),
        ({"objective": "flow"}, "it is a flow, not a diffusion in betas"),
        ({"timesteps": 500}, "it has 500 timesteps, not 1000"),
        ({"beta_end": 0.03}, "its betas are others"),
        ({"conditioning": "none"}, "it is conditioned on none, not class"),
    ],
)
def test_a_guide_of_another_kind_is_refused(fields, said):
    with pytest.raises(InputError, match=said):
        sampled(made(1), made(2, **fields))


def test_both_networks_are_counted():
    strong, weak = made(1, channels=16), made(2)
    params = Sampling(**{**tiny.SAMPLING, "steps": 4, "guidance": 2.0})
    alone, guided = (
        SuiteModel(strong, batch=1).guided_by(guide).work(params) for guide in (None, weak)
    )
    assert alone.guide == 0
    assert guided.guide == SuiteModel(weak, batch=1).work(params).denoiser < guided.denoiser
    assert (guided.evaluations, guided.guided) == (4, 4)


planned = partial(tiny.planned, text=SUITE)


def test_a_guide_is_keyed_with_samples_and_not_with_training(tmp_path):
    cells = {c.id: c for c in planned(tmp_path).cells}
    assert len(cells) == 4
    names = {c.guidance_model: c for c in cells.values() if c.model.startswith("large")}
    assert set(names) == {None, "small", "large@0.5"}
    assert len({c.stages["denoiser"] for c in names.values()}) == 1
    assert len({c.stages["samples"] for c in names.values()}) == 3
    stages = planned(tmp_path).by_key()
    small = stages[names["small"].stages["samples"]]
    plain = next(c for c in cells.values() if c.model == "small")
    assert small.inputs["guide"].key == plain.stages["denoiser"]
    early = stages[names["large@0.5"].stages["samples"]]
    assert early.inputs["guide"].key == names[None].stages["denoiser"]
    assert early.params.guide_progress == 0.5
    unguided = planned(tmp_path, "sample.guidance=[1.0, 2.0]", "models.large.guidance_model=small")
    keys = {c.guidance: unguided.by_key()[c.stages["samples"]].inputs for c in unguided.cells
            if c.model == "large"}  # fmt: skip
    assert "guide" in keys[2.0]
    assert "guide" not in keys[1.0]


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("models.large.guidance_model=tiny",), "which is no model or cell of this suite"),
        (("models.large.guidance_model=large@0.25",), "has the checkpoints 0.5, 1 alone"),
        (("models.small.denoiser.conditioning=caption",), "conditioning is caption, not class"),
        (("models.small.denoiser.objective=v",), "but it predicts v_prediction, not epsilon"),
        (
            ("models.small.autoencoder={weights: shipped, f: 4}",),
            "whose first stage has f = 4 (kl), not f = 1 (pixels)",
        ),
        (("sample.guidance=1",), "which guides nothing at guidance 1"),
        (
            ("models.small={kind: call, target: 'ldmbench.models.baselines:Real',"
             " conditioning: truth}",),
            "which samples by itself",
        ),
    ],
)  # fmt: skip
def test_a_guide_that_cannot_is_refused_by_plan(tmp_path, sets, said):
    more = () if "guidance" in sets[0] else ("sample.guidance=1.5",)
    with pytest.raises(SuiteError) as error:
        planned(tmp_path, *sets, *more)
    assert said in str(error.value)
    assert "models.large.guidance_model" in str(error.value)


def test_an_unconditional_model_is_guided_by_another_alone(tmp_path):
    both = [f"models.{name}.denoiser.conditioning=none" for name in ("small", "large")]
    with pytest.raises(SuiteError):
        planned(tmp_path, *both)
    found = planned(tmp_path, *both, "models.large.guidance_model=small", "exclude=['small/*']")
    assert [cell.guidance_model for cell in found.cells] == ["small"]


@pytest.mark.slow
def test_a_suite_is_guided_by_models_it_trains_and_by_one_on_disk(tmp_path, capsys):
    suite, store = tiny.write_suite(tmp_path, SUITE), ["--store", str(tmp_path / "store")]
    assert outcome(["run", str(suite), *store]) == 0
    runs = Runs(tmp_path / "store")
    records = {r.cell.guidance_model: r for r in runs.records(runs.find().id)
               if r.cell.model.startswith("large")}  # fmt: skip
    assert all(r.status == "done" for r in records.values())
    scores = {name: r.scores[0] for name, r in records.items()}
    assert len({s.value for s in scores.values()}) == 3
    assert "|guide:" not in scores[None].signature
    assert "|guide:" in scores["small"].signature
    assert ",0.5|" in scores["large@0.5"].signature.partition("|guide:")[2]
    flops = {n: {m.name: m.value for m in r.measures} for n, r in records.items()}
    assert {f["evaluations"] for f in flops.values()} == {8}
    own, early, weak = (flops[n]["flops_per_image"] for n in (None, "large@0.5", "small"))
    assert early == own  # the same network at an earlier step
    assert weak > own  # its one level attends at the full side, which costs more
    small = next(r for r in runs.records(runs.find().id) if r.cell.model == "small")
    assert outcome(["export", small.cell.id, str(tmp_path / "guide"), *store]) == 0
    capsys.readouterr()
    sets = ["--set", "models.large.guidance_model=./guide", "--only", "large/*"]
    assert outcome(["run", str(suite), *store, *sets]) == 0
    (again,) = runs.records(runs.find().id)
    key = [r.keys["samples"] for r in (records["small"], again)]
    images = [np.load(next((tmp_path / "store/samples").rglob(f"{k}*/**/images.npy"))) for k in key]
    assert key[0] != key[1]
    assert np.abs(images[0].astype(int) - images[1].astype(int)).max() <= 1
