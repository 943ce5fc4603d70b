"""Training on the stand-in for a GPU: weights are the CPU's, and no step copies or waits."""

import numpy as np
import pytest
import torch
from shadow import MixedDevicesError, ShadowDevice

from ldmbench.data.batches import BatchOrder
from ldmbench.data.shapes import render
from ldmbench.models.conditioner import Brought
from ldmbench.models.denoiser import build_denoiser
from ldmbench.schema.models import AutoencoderParams, Budget, DenoiserParams
from ldmbench.train.autoencoder import AutoencoderJob, train_autoencoder
from ldmbench.train.denoiser import DenoiserJob, train_denoiser

pytestmark = pytest.mark.slow

COUNT, SIDE = 12, 16
SHAPES = render(np.arange(COUNT), resolution=SIDE)
AUTOENCODER = {"f": 2, "channels": 8, "batch": 4, "budget": {"steps": 3}, "adversarial_start": 0.3}
DENOISER = {"channels": 8, "context_channels": 8, "batch": 4, "multipliers": [1, 1], "warmup": 1}


class Shapes:
    """Images, labels and captions in memory; `reads` are the batches that were asked for."""

    def __init__(self):
        self.reads = []

    def __len__(self):
        return COUNT

    def images(self, indices):
        self.reads.append(tuple(indices))
        return SHAPES.images[indices]

    def labels(self, indices):
        return SHAPES.labels[indices]

    def captions(self, indices):
        return [SHAPES.captions[i] for i in indices]


class Latents:
    def __len__(self):
        return COUNT

    def read(self, indices):
        return np.random.default_rng(0).standard_normal((COUNT, 3, 8, 8), np.float32)[indices]


def train_first_stage(device, folder, **fields):
    params = AutoencoderParams.model_validate(AUTOENCODER | fields)
    run = {"scratch": folder / "scratch", "report": lambda *_: None, "device": device}
    train_autoencoder(params, Shapes(), resolution=SIDE, output=folder, **run)


def train_model(device, folder, *, latents=None, **fields):
    params = DenoiserParams.model_validate(DENOISER | fields)
    run = {"scratch": folder / "scratch", "report": lambda *_: None, "device": device}
    shape = (3, 8, 8) if latents else (3, SIDE, SIDE)
    budget, more = (
        Budget(steps=3),
        {"latent_shape": shape, "brought": Brought(classes=64), "output": folder},
    )
    train_denoiser(params, budget, images=Shapes(), latents=latents, **more, **run)


def weights_in(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*.safetensors"))}


@pytest.mark.parametrize("fields", [{"regularization": "kl"}, {"regularization": "vq"}])
def test_first_stages_are_the_cpus_byte_for_byte(fields, tmp_path):
    train_first_stage("cpu", tmp_path / "cpu", **fields)
    with ShadowDevice() as stand_in:
        train_first_stage("cuda:0", tmp_path / "gpu", **fields)
    assert weights_in(tmp_path / "cpu")
    assert weights_in(tmp_path / "gpu") == weights_in(tmp_path / "cpu")
    assert stand_in.living() == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"conditioning": "caption", "latents": Latents()},
        {"conditioning": "class", "objective": "v"},
        {"conditioning": "none"},
    ],
)
def test_denoisers_are_the_cpus_byte_for_byte(fields, tmp_path):
    train_model("cpu", tmp_path / "cpu", **fields)
    with ShadowDevice() as stand_in:
        train_model("cuda:0", tmp_path / "gpu", **fields)
    assert weights_in(tmp_path / "cpu")
    assert weights_in(tmp_path / "gpu") == weights_in(tmp_path / "cpu")
    assert stand_in.living() == 0


def first_stage_job(device, shapes=None, **fields):
    params = AutoencoderParams.model_validate(AUTOENCODER | fields)
    order = BatchOrder(COUNT, batch_size=params.batch, seed=1)
    shapes = shapes or Shapes()
    return AutoencoderJob(params, shapes, resolution=SIDE, order=order, device=device)


def denoiser_job(device, *, latents=None, **fields):
    params = DenoiserParams.model_validate(DENOISER | fields)
    order = BatchOrder(COUNT, batch_size=params.batch, seed=1)
    size = {
        "latent_channels": 3,
        "latent_size": 8 if latents else SIDE,
        "brought": Brought(classes=64),
    }
    model = build_denoiser(params, **size, seed=0)
    more = {"images": Shapes(), "latents": latents, "order": order, "device": device}
    return DenoiserJob(params, model, **more)


JOBS = [  # what is trained, and what a step copies: images or latents, and ids
    (lambda device: first_stage_job(device, regularization="kl"), 1),
    (lambda device: first_stage_job(device, regularization="vq"), 1),
    (lambda device: denoiser_job(device, conditioning="none"), 1),
    (lambda device: denoiser_job(device, conditioning="class"), 2),
    (lambda device: denoiser_job(device, conditioning="caption", latents=Latents()), 2),
]


@pytest.mark.parametrize(("make", "expected"), JOBS)
def test_a_step_waits_for_no_copy(make, expected):
    with ShadowDevice() as stand_in:
        job = make(torch.device("cuda:0"))
        job.step(0, 0.5)
        stand_in.copies.clear()
        for n in (1, 2, 3):
            job.step(n, 0.5)
        assert stand_in.copies == {("to", "pinned"): 3 * expected}


def test_reading_ahead_keeps_the_order_and_goes_on_anywhere():
    ahead, plain = Shapes(), Shapes()
    on_cpu = first_stage_job(torch.device("cpu"), plain)
    with ShadowDevice():
        job = first_stage_job(torch.device("cuda:0"), ahead)
        for n in (5, 6, 7, 0, 8, 9):  # resumed at 5; weights are kept, with batch 0, after 7
            assert torch.equal(job.batches.at(n)[0].cpu(), on_cpu.batches.at(n)[0])
    assert ahead.reads[:3] == plain.reads[:3]
    assert set(ahead.reads) >= set(plain.reads)


def test_a_batch_left_on_the_cpu_is_found():
    with ShadowDevice():
        job = first_stage_job(torch.device("cuda:0"), regularization="kl")
        job.batches = first_stage_job(torch.device("cpu"), regularization="kl").batches
        with pytest.raises(MixedDevicesError):
            job.step(0, 0.0)


def test_noise_of_a_cpu_generator_is_found(monkeypatch):
    with ShadowDevice():
        job = denoiser_job(torch.device("cuda:0"), conditioning="none")
        of_cpu = "ldmbench.train.draws.generator_at"
        monkeypatch.setattr(of_cpu, lambda *_: torch.Generator().manual_seed(0))
        with pytest.raises(MixedDevicesError):
            job.step(0, 0.0)
