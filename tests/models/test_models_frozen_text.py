"""Frozen text encoders of transformers under a denoiser that is trained here."""

import json

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    CLIPTextConfig,
    CLIPTextModel,
    T5Config,
    T5EncoderModel,
)

from ldmbench.errors import InputError
from ldmbench.models import frozen_text, load
from ldmbench.models.conditioner import Brought
from ldmbench.models.denoiser import build_denoiser
from ldmbench.models.tokenizer_files import vocabulary_tokenizer
from ldmbench.sample import initial_noise
from ldmbench.schema.models import DenoiserParams
from ldmbench.sources.models.text_encoders import text_encoder

CAPTIONS = ["a red circle", "a large blue star", "a red circle", ""]
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "red",
    "circle",
    "large",
    "blue",
    "star",
]


def write(kind, folder):
    """Write a text encoder of random weights and its tokenizer, as its authors' folders have it."""
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "clip":
            sizes = {"intermediate_size": 16, "vocab_size": 49408, "max_position_embeddings": 16}
            CLIPTextModel(CLIPTextConfig(**small, **sizes)).save_pretrained(folder)
            vocabulary_tokenizer("open_clip").save_pretrained(folder)
            return folder
        if kind == "t5":
            sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
            T5EncoderModel(T5Config(**sizes, vocab_size=len(WORDS))).save_pretrained(folder)
        else:
            sizes = {"intermediate_size": 16, "vocab_size": len(WORDS)}
            BertModel(BertConfig(**small, **sizes)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    BertTokenizerFast.from_pretrained(folder, local_files_only=True).save_pretrained(folder)
    return folder


def made(place):
    params = DenoiserParams(channels=8, caption_tokens=12, text_encoder="sha256:0")
    sizes = {"latent_channels": 3, "latent_size": 8, "brought": Brought(text=str(place))}
    return build_denoiser(params, **sizes, seed=1).eval()


@pytest.mark.parametrize("kind", ["clip", "t5", "bert"])
def test_it_is_trained_sampled_and_loaded_alike(kind, tmp_path):
    denoiser = made(write(kind, tmp_path / "encoder"))
    z, t = initial_noise(range(4), seed=0, shape=(3, 8, 8)), torch.arange(4) * 100
    assert not any("text" in name for name, _ in denoiser.named_parameters())
    assert denoiser.flops_per_image() > 0
    ids = denoiser.conditions(captions=CAPTIONS)
    denoiser.frozen.remember(CAPTIONS)
    contexts = denoiser.conditions(captions=CAPTIONS)
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


def test_contexts_that_do_not_fit_are_encoded_anew(tmp_path, monkeypatch):
    denoiser = made(write("t5", tmp_path / "encoder"))
    monkeypatch.setattr(frozen_text, "KEPT_BYTES", 3 * 4 * 12 * 16 - 1)
    denoiser.frozen.remember(CAPTIONS)  # three distinct ones
    assert denoiser.frozen.known == {}
    monkeypatch.setattr(frozen_text, "KEPT_BYTES", 3 * 4 * 12 * 16)
    denoiser.frozen.remember(CAPTIONS)
    assert len(denoiser.frozen.known) == 3


def test_what_is_no_text_encoder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"found 'nowhere/at/all', which is not there"):
        text_encoder("nowhere/at/all", tmp_path)
    (tmp_path / "gpt").mkdir()
    (tmp_path / "gpt" / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(InputError, match=r"a 'gpt2'; text encoders are of model_type bert, clip"):
        text_encoder("gpt", tmp_path)
    place = write("bert", tmp_path / "bert")
    found = text_encoder("bert", tmp_path)
    assert (found.width, found.kind) == (16, "BertModel")
    before = found.digest
    (place / "vocab.txt").write_text("\n".join([*WORDS, "green"]) + "\n")
    assert text_encoder("bert", tmp_path).digest != before
    (place / "model.safetensors").unlink()
    with pytest.raises(InputError):
        text_encoder("bert", tmp_path)


def test_numbers_are_those_of_transformers(tmp_path):
    place = write("bert", tmp_path / "encoder")
    denoiser = made(place)
    tokens = BertTokenizerFast.from_pretrained(place, local_files_only=True)(
        CAPTIONS, padding="max_length", max_length=12, truncation=True, return_tensors="pt"
    )
    theirs = BertModel.from_pretrained(place, local_files_only=True).eval()
    with torch.no_grad():
        wanted = theirs(tokens["input_ids"]).last_hidden_state
    denoiser.frozen.remember(CAPTIONS)
    found = denoiser.conditions(captions=CAPTIONS)
    assert np.allclose(found.numpy(), wanted.numpy(), atol=1e-5)
