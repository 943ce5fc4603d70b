"""Trainings on contexts from the store, and on those that are encoded in each batch."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from written_texts import write_encoder

from ldmbench.data.contexts import ContextShards, distinct, write_contexts
from ldmbench.data.shapes import render
from ldmbench.models.conditioner import Brought
from ldmbench.models.frozen_text import frozen_at
from ldmbench.schema.models import Budget, DenoiserParams
from ldmbench.sources.models.text_encoders import text_encoder
from ldmbench.train.crew import Crew
from ldmbench.train.denoiser import train_denoiser

COUNT, TOKENS = 24, 12


class Captioned:
    def __init__(self):
        self.batch = render(np.arange(COUNT), resolution=8)
        self.read = 0

    def __len__(self):
        return COUNT

    def images(self, indices):
        return self.batch.images[indices]

    def captions(self, indices):
        self.read += len(indices)
        return [self.batch.captions[i] for i in indices]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_encoder("bert", tmp_path_factory.mktemp("text") / "encoder")


@pytest.fixture(scope="module")
def contexts(place, tmp_path_factory):
    folder = tmp_path_factory.mktemp("contexts")
    encoder = frozen_at(text_encoder(str(place), folder), tokens=TOKENS, device="cpu")
    texts, rows = distinct(render(np.arange(COUNT), resolution=8).captions)
    write_contexts(folder, encoder.read(encoder.prompts.tokens(texts)).numpy(), rows)
    return ContextShards([folder], start=0, stop=COUNT, first=0, size=COUNT)


def trained(folder, place, contexts=None, **fields):
    images = Captioned()
    small = {"channels": 8, "batch": 8, "multipliers": (1, 1), "warmup": 1, "drop_condition": 0.3}
    train_denoiser(
        DenoiserParams(**small, text_encoder="sha256:0", caption_tokens=TOKENS, **fields),
        Budget(steps=6),
        images=images,
        contexts=contexts,
        latent_shape=(3, 8, 8),
        brought=Brought(text=str(place)),
        device="cpu",
        scratch=folder / "scratch",
        output=folder / "output",
        report=lambda fraction, note: None,
    )
    assert images.read == (0 if contexts else 6 * 8)
    return load_file(folder / "output" / "unet" / "diffusion_pytorch_model.safetensors")


@pytest.fixture(scope="module")
def kept(place, contexts, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("kept"), place, contexts)


def test_weights_are_alike(place, kept, tmp_path):
    anew = trained(tmp_path, place, accumulate=2)
    largest = max(float(t.abs().max()) for t in kept.values())
    for name, found in kept.items():
        assert float((found - anew[name]).abs().max()) <= 2e-4 * largest, name


def test_weights_are_the_same_where_contexts_are(place, contexts, kept, tmp_path, monkeypatch):
    def read(self, ids):
        table = {tuple(self.prompts.tokens([text])[0].tolist()): k for k, text in enumerate(texts)}
        return torch.stack([every[table[tuple(row.tolist())]] for row in ids])

    texts, rows = distinct(render(np.arange(COUNT), resolution=8).captions)
    every = torch.zeros((len(texts), TOKENS, 16))
    every[rows] = torch.from_numpy(contexts.read(np.arange(COUNT)))
    every[0] = torch.from_numpy(contexts.null)
    monkeypatch.setattr("ldmbench.models.frozen_text.FrozenText.read", read)
    anew = trained(tmp_path, place)
    assert all(torch.equal(found, anew[name]) for name, found in kept.items())


def test_a_process_reads_its_rows_alone(place):
    from ldmbench.models.denoiser import build_denoiser
    from ldmbench.train.denoiser import DenoiserJob

    class Second(Crew):
        def rows(self, batch):
            return slice(batch // 2, batch)

    params = DenoiserParams(channels=8, batch=8, text_encoder="sha256:0", caption_tokens=TOKENS)
    sizes = {"latent_channels": 3, "latent_size": 8, "brought": Brought(text=str(place))}
    images, model = Captioned(), build_denoiser(params, **sizes, seed=0)
    more = {"order": None, "device": torch.device("cpu"), "crew": Second()}
    job = DenoiserJob(params, model, images=images, **more)
    ids = model.conditions(captions=images.captions(np.arange(8)))
    found = job._encoded(ids)
    assert not found[:4].any()
    assert torch.equal(found[4:], model.frozen.read(ids[4:]))
