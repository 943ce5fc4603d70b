import torch

from ldmbench.data.captions import VOCABULARY
from ldmbench.models.conditioner import Brought, CaptionEncoder, build_condition
from ldmbench.models.hashed_words import LENGTH, TOKENS, tokenize
from ldmbench.schema.models import DenoiserParams


def test_words_of_shapes_do_not_collide():
    ids = tokenize(VOCABULARY)[:, 0].tolist()
    assert len(set(ids)) == len(VOCABULARY)
    assert min(ids) >= 2
    assert max(ids) < TOKENS


def test_ids_are_fixed():
    assert (
        tokenize(["A red circle, left."])[0, :6].tolist()
        == tokenize(["a RED circle left"])[0, :6].tolist()
    )
    assert tokenize([""])[0].tolist() == [1] + [0] * (LENGTH - 1)
    assert tokenize(["red"])[0, :3].tolist() == [205, 1, 0]


def test_long_captions_are_cut():
    row = tokenize(["word " * 100])[0]
    assert len(row) == LENGTH
    assert row[-1] == 1


def test_sequence_does_not_depend_on_neighbours():
    encoder = CaptionEncoder(16).eval()
    ids = tokenize(["a red circle", "a large blue star in the center on a gray background"])
    both = encoder(ids)
    assert both.shape == (2, LENGTH, 16)
    assert torch.allclose(both[:1], encoder(ids[:1]), atol=1e-6)


def test_classes_have_a_null_row():
    params = DenoiserParams(conditioning="class", context_channels=16)
    encoder = build_condition(params, (3, 8, 8), Brought(classes=3)).embedder
    out = encoder(torch.tensor([0, encoder.config.null_class]))
    assert out.shape == (2, 1, 16)
    assert not torch.equal(out[0], out[1])
