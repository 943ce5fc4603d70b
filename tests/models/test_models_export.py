"""A trained model as a folder samples there what it samples in the store, to the bit."""

import json

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from safetensors.torch import save_file

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.autoencoder import build_first_stage, latent_shape, save_first_stage
from ldmbench.models.conditioner import Brought
from ldmbench.models.convert import convert
from ldmbench.models.denoiser import build_denoiser
from ldmbench.models.export import export_model
from ldmbench.models.files import write_card
from ldmbench.models.trained import load_trained, training_batch
from ldmbench.sample import Flow, initial_noise
from ldmbench.schema.models import AutoencoderParams, DenoiserParams
from ldmbench.sources.models.peek import model_digest, peek

GIVEN = {"none": None, "class": [0, 4], "caption": ["a red circle", "a blue star"]}
KINDS = [
    pytest.param((2, "kl"), "caption", id="kl-caption"),
    pytest.param((2, "vq"), "none", id="vq-none"),
    pytest.param((4, "kl"), "none", id="kl-none"),
    pytest.param((1, "kl"), "class", id="pixel-class"),
    pytest.param((1, "kl"), "none", id="pixel-none"),
]


def made(folder, first, conditioning, **fields):
    """Return the two artefacts of a model with fresh weights, its raw weights half of them."""
    f, regularization = first
    stage = AutoencoderParams(f=f, regularization=regularization, channels=8, codebook=16)
    save_first_stage(
        build_first_stage(stage, seed=1), folder / "first", params=stage, scale=1 if f == 1 else 0.7
    )
    denoiser = denoiser_of(conditioning, latent_shape(stage, 16), **fields)
    raw = {name: p.detach() / 2 for name, p in denoiser.named_parameters()}
    denoiser.save(folder / "denoiser", raw=raw, apart=f != 1)
    return folder / "first", folder / "denoiser"


def denoiser_of(conditioning, shape, objective="v", **fields):
    params = DenoiserParams(
        channels=8,
        context_channels=8,
        conditioning=conditioning,
        objective=objective,
        batch=7,
        **fields,
    )
    sizes = {"latent_channels": shape[0], "latent_size": shape[1], "brought": Brought(classes=5)}
    return build_denoiser(params, **sizes, seed=2).eval()


def sampled(model, conditioning):
    noise = initial_noise([0, 1], seed=0, shape=model.info.latent_shape)
    told, guidance = GIVEN[conditioning], 1.0 if conditioning == "none" else 2.5
    return model.sample(noise, steps=3, eta=0.5, seeds=[5, 6], cond=told, guidance=guidance)


@pytest.mark.parametrize(("first", "conditioning"), KINDS)
def test_an_exported_model_samples_the_same(first, conditioning, tmp_path):
    stored = made(tmp_path, first, conditioning)
    out = tmp_path / "out"
    told = export_model(*stored, out, raw=False, origin={"cell": "ldm/shapes"})
    trained, model = load_trained(*stored), load(out)
    images = sampled(trained, conditioning)
    assert np.array_equal(sampled(model, conditioning), images)
    assert (told.weights, told.parameters) == ("ema", model.info.parameters)
    assert model.info.f == first[0]
    assert json.loads((out / "ldmbench.json").read_text())["origin"] == {"cell": "ldm/shapes"}
    assert training_batch(stored[1]) == 7
    converted = load(convert(out, tmp_path / "converted"))
    assert np.array_equal(sampled(converted, conditioning), images)
    facts = peek(out)
    assert (facts.f, facts.sides, facts.weights) == (first[0], (16, 16), "ema")
    assert (facts.conditioning, facts.missing) == (model.info.conditioning, None)
    assert model_digest(out) == model.info.digest
    export_model(*stored, tmp_path / "raw", raw=True, origin={})
    raw = load(tmp_path / "raw")
    assert raw.info.weights == peek(tmp_path / "raw").weights == "raw"
    assert not np.array_equal(sampled(raw, conditioning), images)
    for name, network in model.networks().items():
        for p, q in zip(network.parameters(), raw.networks()[name].parameters()):
            assert torch.equal(p if name == "first_stage" else p / 2, q)


@pytest.mark.parametrize(
    ("first", "pipeline"),
    [((2, "vq"), "LDMPipeline"), ((4, "kl"), "LDMPipeline"), ((1, "kl"), "DDIMPipeline")],
)
def test_diffusers_samples_the_same(first, pipeline, tmp_path):
    told = export_model(*made(tmp_path, first, "none"), tmp_path / "out", raw=False, origin={})
    assert told.pipeline == pipeline
    theirs = DiffusionPipeline.from_pretrained(tmp_path / "out", local_files_only=True)
    assert type(theirs).__name__ == pipeline
    theirs.set_progress_bar_config(disable=True)
    model = load(tmp_path / "out")
    noise = torch.randn(2, *model.info.latent_shape, generator=torch.Generator().manual_seed(3))
    wanted = theirs(
        batch_size=2,
        generator=torch.Generator().manual_seed(3),
        num_inference_steps=4,
        output_type="np",
    ).images
    found = model.sample(noise, steps=4).astype(float)
    assert np.abs(found - wanted * 255).max() < 0.51


@pytest.mark.parametrize("conditioning", ["none", "class", "caption"])
def test_what_was_stored_before_is_still_read(conditioning, tmp_path):
    first, folder = made(tmp_path, (2, "kl"), conditioning)
    model, old = load_trained(first, folder), tmp_path / "old"
    denoiser = denoiser_of(conditioning, model.info.latent_shape)
    params = denoiser.params.model_dump(mode="json")
    write_card(old, "denoiser", params=params, latent_channels=3, latent_size=8, classes=5)
    denoiser.unet.save_pretrained(old / "unet")
    if denoiser.conditioner is not None:
        tensors = denoiser.conditioner.state_dict()
        renamed = {n.replace("embedding.weight", "vectors.weight"): t for n, t in tensors.items()}
        save_file(renamed, old / "conditioner.safetensors")
    early = load_trained(first, old)
    assert np.array_equal(sampled(early, conditioning), sampled(model, conditioning))
    assert training_batch(old) == 7
    export_model(first, old, tmp_path / "out", raw=False, origin={})
    assert np.array_equal(
        sampled(load(tmp_path / "out"), conditioning), sampled(early, conditioning)
    )
    with pytest.raises(InputError, match="--fresh denoiser` trains it again"):
        load_trained(first, old, ema=False)


@pytest.mark.parametrize(("first", "conditioning"), KINDS[:3])
def test_a_flow_is_written_with_the_scheduler_of_straight_paths(first, conditioning, tmp_path):
    stored = made(tmp_path, first, conditioning, objective="flow", shift=2.0)
    told = export_model(*stored, tmp_path / "out", raw=False, origin={})
    assert told.pipeline is None
    trained, model = load_trained(*stored), load(tmp_path / "out")
    assert model.info.flow == trained.info.flow == Flow(shift=2.0)
    assert (model.info.schedule, model.info.timesteps, model.info.time_scale) == (None, None, 1000)
    facts = peek(tmp_path / "out")
    assert Flow.of(facts.flow) == model.info.flow
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path / "out" / "scheduler")
    assert (scheduler.config.shift, scheduler.config.num_train_timesteps) == (2.0, 1000)

    noise = initial_noise([0, 1], seed=0, shape=model.info.latent_shape)
    way = {"steps": 3, "cond": GIVEN[conditioning], "seeds": [5, 6]}
    if conditioning != "none":
        way |= {"guidance": 2.5, "guidance_interval": (0.2, 0.8)}
    for sampler in ("euler", "sde"):
        images = trained.sample(noise, sampler=sampler, **way)
        assert np.array_equal(model.sample(noise, sampler=sampler, **way), images)
    with pytest.raises(InputError, match="'ddim' cannot sample"):
        model.sample(noise, sampler="ddim", **way)

    converted = load(convert(tmp_path / "out", tmp_path / "converted"))
    assert np.array_equal(converted.sample(noise, **way), model.sample(noise, **way))


def test_diffusers_scheduler_follows_the_same_velocity(tmp_path):
    """A folder without our card is read by its scheduler, which then takes the steps."""
    export_model(
        *made(tmp_path, (2, "kl"), "none", objective="flow", shift=3.0),
        tmp_path / "out",
        raw=False,
        origin={},
    )
    (tmp_path / "out" / "ldmbench.json").unlink()
    model = load(tmp_path / "out")
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(tmp_path / "out" / "scheduler")
    scheduler.set_timesteps(4)
    noise = initial_noise([0, 1], seed=0, shape=model.info.latent_shape)
    z = noise
    with torch.no_grad():
        for t in scheduler.timesteps:
            out = model.network(z, t.expand(2)).sample
            assert torch.allclose(out, model.velocity(z, t / 1000), atol=1e-5)
            z = scheduler.step(out, t, z).prev_sample
    ours = model.sample(noise, steps=4, decode=False)
    assert torch.allclose(ours, z, atol=1e-4)
    # noise of a straight path: z + (1 - t) u
    t = torch.tensor([0.3, 0.6])
    eps = z + (1 - t)[:, None, None, None] * model.velocity(z, t)
    assert torch.allclose(model.eps(z, t), eps, atol=1e-5)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [("use_dynamic_shifting", True, "with use_dynamic_shifting is not"), ("shift", -1, "above 0")],
)
def test_schedulers_of_flows_that_move_times_otherwise_are_refused(tmp_path, field, value, text):
    export_model(
        *made(tmp_path, (2, "kl"), "none", objective="flow"), tmp_path / "out", raw=False, origin={}
    )
    (tmp_path / "out" / "ldmbench.json").unlink()
    place = tmp_path / "out" / "scheduler" / "scheduler_config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {field: value}))
    with pytest.raises(InputError, match=text):
        peek(tmp_path / "out")
