"""Presets: the networks of papers have the parameters that the papers state."""

import pytest

from ldmbench.catalog.presets import PRESETS
from ldmbench.models.conditioner import Brought
from ldmbench.models.denoiser import Denoiser
from ldmbench.models.files import blank
from ldmbench.schema.models import DenoiserParams

APART = {
    "ldm-4-imagenet-study": 0.027,  # table 13 says 391 M of what tables 3, 10 and 18 say 400 M
    "ldm-4-layout-openimages": 0.03,  # the paper's layouts have more words and places
    "ldm-8-layout-coco": 0.08,  # the paper does not say how deep the encoder of layouts is
}


def written(folder):
    """Write a vocabulary as large as BERT's, and return its path."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [f"w{i}" for i in range(30522 - len(special))]
    (folder / "vocab.txt").write_text("\n".join([*special, *words]) + "\n")
    return str(folder / "vocab.txt")


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_are_those_of_the_paper(name, tmp_path):
    row = PRESETS[name]
    channels, side = row.latent
    words = {"vocabulary": written(tmp_path)} if row.fields["conditioning"] == "caption" else {}
    params = DenoiserParams.model_validate({"preset": name, **words})
    assert {field: getattr(params, field) for field in row.fields} == dict(row.fields)
    brought = Brought(classes=row.classes, objects=row.objects, f=256 // side)
    sizes = {"latent_channels": channels, "latent_size": side, "brought": brought}
    made = blank(lambda: Denoiser(params, **sizes))
    share = made.parameter_count / 1e6 / (row.published - row.with_stage)
    assert share == pytest.approx(1, abs=APART.get(name, 0.009))
