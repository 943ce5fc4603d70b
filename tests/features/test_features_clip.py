"""CLIP by open_clip from local files, and the word tokenizer."""

import json
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from spoiled import validation

from ldmbench.catalog.extractors import EXTRACTORS, extractor_named
from ldmbench.data.shapes import VOCABULARY
from ldmbench.errors import InputError
from ldmbench.features import load_extractor
from ldmbench.features.tokenizer import WordTokenizer
from ldmbench.schema.weights import SHIPPED
from ldmbench.sources.tokens import CONTEXT, WORDS

TINY = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "layers": 1, "width": 64, "patch_size": 32},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 1,
    },
}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A released-like CLIP of random weights, in a file that open_clip loads."""
    config = tmp_path / "tiny-clip.json"
    config.write_text(json.dumps(TINY))
    open_clip.add_model_config(config)
    row = replace(EXTRACTORS["clip-vit-b-32"], network="tiny-clip")
    monkeypatch.setitem(EXTRACTORS, "clip-vit-b-32", row)
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-clip").eval()
    path = tmp_path / "open_clip_model.safetensors"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    return model, path


@pytest.mark.golden
def test_equals_open_clip_itself(tiny):
    model, path = tiny
    batch = validation(0, 3, resolution=64)
    transform = open_clip.image_transform(
        224,
        is_train=False,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
    )
    pixels = torch.stack([transform(Image.fromarray(image)) for image in batch.images])
    with torch.no_grad():
        seen = model.encode_image(pixels).numpy()
        said = model.encode_text(open_clip.get_tokenizer("ViT-B-32")(list(batch.captions))).numpy()
    ours = load_extractor("clip-vit-b-32", path=path)
    np.testing.assert_allclose(ours.extract(batch.images)["features"], seen, atol=1e-4)
    np.testing.assert_allclose(ours.extract_text(batch.captions), said, atol=1e-4)


def test_captions_of_any_length_equal_open_clip(tiny):
    model, path = tiny
    captions = [" ".join(["boat"] * n) for n in (0, 1, 14, 15, 22, 23, 30, 40, 46, 47, 60, 90)]
    with torch.no_grad():
        said = model.encode_text(open_clip.get_tokenizer("ViT-B-32")(captions)).numpy()
    ours = load_extractor("clip-vit-b-32", path=path)
    found = ours.extract_text(captions)
    np.testing.assert_allclose(found, said, atol=1e-5)
    # the same bytes whoever comes with it
    for i in (2, 7):
        np.testing.assert_array_equal(ours.extract_text(captions[i : i + 1])[0], found[i])


def test_other_weights_are_refused(tiny, tmp_path):
    stranger = tmp_path / "stranger.safetensors"
    save_file({"a": torch.zeros(1)}, stranger)
    with pytest.raises(InputError, match=r"stranger\.safetensors"):
        load_extractor("clip-vit-b-32", path=stranger)


def test_shapes_clip_is_an_open_clip_config():
    config = SHIPPED / "shapes-clip.json"
    open_clip.add_model_config(config)
    model = open_clip.create_model("shapes-clip")
    assert model.visual.output_dim == extractor_named("shapes-clip").dim
    assert model.context_length == CONTEXT
    assert model.vocab_size == len(WORDS)


def test_every_word_of_the_captions_has_a_token():
    assert set(VOCABULARY) <= set(WORDS)
    tokens = WordTokenizer()(validation(0, 500).captions)
    assert (tokens != WORDS.index("<unknown>")).all()
    assert (tokens.max(dim=1).values == len(WORDS) - 1).all()


def test_tokens_end_and_pad():
    row = WordTokenizer()(["a red Circle, zebra"])[0]
    words = [WORDS[i] for i in row]
    assert words[:7] == ["<start>", "a", "red", "circle", ",", "<unknown>", "<end>"]
    assert set(words[7:]) == {"<pad>"}
    long = WordTokenizer()(["red " * 100])[0]
    assert WORDS[long[-1]] == "<end>"


def test_equal_captions_give_equal_rows_in_order():
    extractor = load_extractor("shapes-clip")
    captions = validation(0, 5).captions
    twice = extractor.extract_text([*captions, *captions[::-1]])
    np.testing.assert_array_equal(twice[:5], twice[:4:-1])
    assert extractor.extract_text([]).shape == (0, 192)


SIGLIP = {
    "embed_dim": 64,
    "vision_cfg": {
        "image_size": 256,
        "timm_model_name": "test_vit",
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    },
}


@pytest.fixture
def siglip(tmp_path, monkeypatch, weights_home):
    """A small SigLIP 2 of random weights and a tokenizer, imported by name."""
    from ldmbench.features.layouts import check_layout
    from ldmbench.sources.evaluators import import_weights

    row = EXTRACTORS["siglip2-vit-b-16-256"]
    text = open_clip.get_model_config(row.network)["text_cfg"]
    text = {**text, "vocab_size": 40, "width": 32, "heads": 2, "layers": 1}
    config = {**SIGLIP, "text_cfg": text}
    row = replace(row, dim=64, options=tuple(config.items()))
    monkeypatch.setitem(EXTRACTORS, row.name, row)
    known = {"<pad>": 0, "<eos>": 1, "<unk>": 2, "a": 3, "red": 4, "circle": 5}
    words = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": known, "unk_token": "<unk>"},
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(words))
    torch.manual_seed(0)
    model = open_clip.CustomTextCLIP(**config, init_logit_bias=-10).eval()
    path = tmp_path / "file.safetensors"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    import_weights(tmp_path / "tokenizer.json", row.tokenizer, check=check_layout)
    import_weights(path, row.weights, check=check_layout)
    return model


@pytest.mark.golden
def test_siglip2_equals_open_clip_with_its_own_tokenizer(siglip):
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 48, 3), dtype=np.uint8)
    transform = open_clip.image_transform(
        256, is_train=False, mean=(0.5,) * 3, std=(0.5,) * 3, resize_mode="squash"
    )
    pixels = torch.stack([transform(Image.fromarray(image)) for image in images])
    tokens = torch.zeros(2, 64, dtype=torch.int64)
    tokens[0, :4] = torch.tensor([3, 4, 5, 1])
    tokens[1] = torch.tensor([4] * 63 + [1])
    with torch.no_grad():
        seen, said = siglip.encode_image(pixels).numpy(), siglip.encode_text(tokens).numpy()
    ours = load_extractor("siglip2-vit-b-16-256")
    np.testing.assert_allclose(ours.extract(images)["features"], seen, atol=1e-5)
    np.testing.assert_allclose(ours.extract_text(["A red, Circle!", "red " * 90]), said, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["clip-vit-l-14", "clip-vit-l-14-336", "siglip2-vit-b-16-256", "siglip2-so400m-16-256"]
)
def test_full_size_networks_have_the_width_and_side_of_their_row(name):
    from ldmbench.features.clip import network

    row = EXTRACTORS[name]
    made = network(row)
    side = made.visual.image_size
    assert (side if isinstance(side, int) else side[0]) == row.side
    assert made.state_dict()["logit_scale"].is_meta
    with torch.device("meta"):
        assert made.encode_image(torch.zeros(1, 3, row.side, row.side)).shape == (1, row.dim)
