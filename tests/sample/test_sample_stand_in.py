"""Sampling on the stand-in for a GPU: bytes are the CPU's, and no step copies or waits."""

import pytest
import torch
from shadow import MixedDevicesError, ShadowDevice

from ldmbench.models.autoencoder import build_first_stage
from ldmbench.models.denoiser import build_denoiser
from ldmbench.models.suite_model import SuiteModel
from ldmbench.sample import SAMPLERS, Schedule, initial_noise, noise, sample, step_noise, step_seeds
from ldmbench.schema.models import AutoencoderParams, DenoiserParams
from ldmbench.schema.params import SamplesParams
from ldmbench.stages.samples import draw

SHAPE = (3, 4, 4)
AUTOENCODER = {"regularization": "kl", "f": 2, "channels": 8, "budget": {"steps": 1}}
DENOISER = {"channels": 8, "context_channels": 8, "multipliers": [1, 1]}


def subject_on(device):
    """Return a latent model that takes captions, with weights that depend on nothing else."""
    stage = build_first_stage(AutoencoderParams.model_validate(AUTOENCODER), seed=0)
    params = DenoiserParams.model_validate(DENOISER)
    denoiser = build_denoiser(params, latent_channels=3, latent_size=4, seed=1)
    model = denoiser.eval().requires_grad_(requires_grad=False).model()
    return SuiteModel(model.behind(stage, f=2, scale=1.0).to(device))


def images_on(device, **params):
    made = subject_on(device)
    told = made.condition(captions=["a red square", "two blue circles"], labels=None)
    run = {"seed": 3, "steps": 4, "timesteps": None, "quantize": None, **params}
    run |= {"progress": 1.0, "micro_batch": 2}
    with torch.no_grad():
        return draw(made, [0, 5], SamplesParams.model_validate(run), told, device)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_images_are_the_cpus_byte_for_byte(sampler, guidance, precision):
    run = {"sampler": sampler, "guidance": guidance, "precision": precision}
    run["eta"] = 0.7 if sampler == "ddim" and guidance > 1 else 0.0
    on_cpu = images_on("cpu", **run)
    with ShadowDevice():
        assert (images_on("cuda:0", **run) == on_cpu).all()


def copies(sampler, steps, eta=0.0):
    """Return the copies of a sampling, network and decoding apart."""
    seeds = step_seeds([0, 1], seed=0)
    with ShadowDevice() as stand_in:
        z = initial_noise([0, 1], seed=0, shape=SHAPE).to("cuda")
        stand_in.copies.clear()
        run = {"schedule": Schedule(), "steps": steps, "sampler": sampler, "eta": eta}
        sample(lambda z, t: z * (t / 1000)[:, None, None, None], z, **run, seeds=seeds)
        return dict(stand_in.copies)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_no_step_copies_to_or_from_the_device(sampler, eta):
    """Before the first step go the timesteps (unipc: sigmas, too), and the noise of all steps."""
    if eta and sampler != "ddim":
        pytest.skip("eta is ddim's")
    expected = {("to", "to"): 2 if sampler == "unipc" else 1}
    if sampler == "ddpm" or eta:
        expected["to", "pinned"] = 1
    assert copies(sampler, 4, eta) == copies(sampler, 20, eta) == expected


def test_much_noise_is_drawn_and_copied_in_parts(monkeypatch):
    seeds, steps = step_seeds([7, 8], seed=0), 10
    generators = [noise.generator_of(seed) for seed in seeds]
    monkeypatch.setattr(noise, "AHEAD_BYTES", 3 * 4 * 2 * 3 * 4 * 4)  # of three steps
    with ShadowDevice() as stand_in:
        device = torch.device("cuda:0")
        drawn = [*noise.noise_of_steps(generators, SHAPE, draws=steps, device=device)]
        assert {part.device.type for part in drawn} == {"cuda"}
        assert stand_in.copies == {("to", "pinned"): 4}
        found = torch.stack(drawn).cpu()
    assert torch.equal(found, step_noise(seeds, draws=steps, shape=SHAPE))


def with_latents_of_the_cpu(z, t):
    return z.cpu() * 0.5


def with_times_of_the_cpu(z, t):
    return z * t.cpu()[:, None, None, None]


def with_noise_of_a_cpu_generator(z, t):
    return torch.randn(z.shape, generator=torch.Generator(), device=z.device)


def with_numpy(z, t):
    return torch.from_numpy(z.numpy())


@pytest.mark.parametrize(
    "fault",
    [
        with_latents_of_the_cpu,
        with_times_of_the_cpu,
        with_noise_of_a_cpu_generator,
        with_numpy,
    ],
)
def test_faults_of_a_denoiser_are_found(fault):
    with ShadowDevice():
        z = initial_noise([0, 1], seed=0, shape=SHAPE).to("cuda")
        with pytest.raises((MixedDevicesError, TypeError)):
            sample(fault, z, schedule=Schedule(), steps=3)
