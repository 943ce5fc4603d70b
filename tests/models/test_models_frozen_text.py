"""Frozen text encoders of transformers under a denoiser that is trained here."""

import json

import numpy as np
import pytest
import torch
from transformers import BertModel, BertTokenizerFast
from written_texts import WORDS, write_encoder

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.conditioner import Brought
from ldmbench.models.conditions import Encoded
from ldmbench.models.denoiser import build_denoiser
from ldmbench.models.frozen_text import frozen_at
from ldmbench.sample import initial_noise
from ldmbench.schema.models import DenoiserParams
from ldmbench.sources.models.text_encoders import AT_ONCE, text_encoder

CAPTIONS = ["a red circle", "a large blue star", "a red circle", ""]


def made(place):
    params = DenoiserParams(channels=8, caption_tokens=12, text_encoder="sha256:0")
    sizes = {"latent_channels": 3, "latent_size": 8, "brought": Brought(text=str(place))}
    return build_denoiser(params, **sizes, seed=1).eval()


@pytest.mark.parametrize("kind", ["clip", "t5", "bert"])
def test_it_is_trained_sampled_and_loaded_alike(kind, tmp_path):
    denoiser = made(write_encoder(kind, tmp_path / "encoder"))
    z, t = initial_noise(range(4), seed=0, shape=(3, 8, 8)), torch.arange(4) * 100
    assert not any("text" in name for name, _ in denoiser.named_parameters())
    assert denoiser.flops_per_image() > 0
    ids = denoiser.conditions(captions=CAPTIONS)
    contexts = denoiser.frozen.read(ids)
    assert ids.shape == (4, 12)
    assert contexts.shape == (4, 12, 16)
    dropped = torch.tensor([True, False, False, False])
    with torch.no_grad():
        wanted, kept = denoiser(z, t, ids), denoiser(z, t, contexts)
        torch.testing.assert_close(kept, wanted, rtol=1e-4, atol=1e-5)
        null = denoiser(z, t, contexts, dropped)
        empty = denoiser(z, t, denoiser.conditions(captions=["", *CAPTIONS[1:]]))
    torch.testing.assert_close(null, empty, rtol=1e-4, atol=1e-5)
    raw = {name: p.detach() for name, p in denoiser.named_parameters()}
    denoiser.save(tmp_path / "model", raw=raw, apart=False)
    again = load(tmp_path / "model")
    assert again.info.conditioning == "text"
    torch.testing.assert_close(again.eps(z, t, CAPTIONS), wanted, rtol=1e-4, atol=1e-5)
    read = Encoded(contexts, denoiser.frozen.null)
    way = {"steps": 2, "guidance": 2.0, "decode": False}
    samples = [again.sample(z, cond=cond, **way) for cond in (CAPTIONS, read)]
    torch.testing.assert_close(*samples, rtol=1e-4, atol=1e-4)


def test_a_caption_is_read_alike_in_any_batch(tmp_path):
    place = write_encoder("clip", tmp_path / "encoder")
    encoder = frozen_at(text_encoder(str(place), tmp_path), tokens=12, device="cpu")
    ids = encoder.prompts.tokens([f"a red circle {n}" for n in range(AT_ONCE + 3)])
    whole = encoder.read(ids)
    assert whole.shape == (AT_ONCE + 3, 12, 16)
    assert torch.equal(encoder.read(ids[:5]), whole[:5])  # in the same places
    torch.testing.assert_close(encoder.read(ids[-4:]), whole[-4:], rtol=1e-5, atol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(encoder.read(ids), whole)


def test_what_is_no_text_encoder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"found 'nowhere/at/all', which is not there"):
        text_encoder("nowhere/at/all", tmp_path)
    (tmp_path / "gpt").mkdir()
    (tmp_path / "gpt" / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(InputError, match=r"a 'gpt2'; text encoders are of model_type bert, clip"):
        text_encoder("gpt", tmp_path)
    place = write_encoder("bert", tmp_path / "bert")
    found = text_encoder("bert", tmp_path)
    assert (found.width, found.kind) == (16, "BertModel")
    before = found.digest
    (place / "vocab.txt").write_text("\n".join([*WORDS, "green"]) + "\n")
    assert text_encoder("bert", tmp_path).digest != before
    for file in place.glob("*"):
        if file.name in ("tokenizer.json", "vocab.txt"):
            file.rename(tmp_path / file.name)
    with pytest.raises(
        InputError, match=r"there is no tokenizer in .*; needed: tokenizer\.json, or"
    ):
        text_encoder("bert", tmp_path)
    (tmp_path / "vocab.txt").rename(place / "vocab.txt")
    (place / "model.safetensors").unlink()
    with pytest.raises(InputError):
        text_encoder("bert", tmp_path)


def test_numbers_are_those_of_transformers(tmp_path):
    place = write_encoder("bert", tmp_path / "encoder")
    denoiser = made(place)
    tokens = BertTokenizerFast.from_pretrained(place, local_files_only=True)(
        CAPTIONS, padding="max_length", max_length=12, truncation=True, return_tensors="pt"
    )
    theirs = BertModel.from_pretrained(place, local_files_only=True).eval()
    with torch.no_grad():
        wanted = theirs(tokens["input_ids"]).last_hidden_state
    found = denoiser.frozen.read(denoiser.conditions(captions=CAPTIONS))
    assert np.allclose(found.numpy(), wanted.numpy(), atol=1e-5)
