"""Weights that a training starts from: every tensor has its place, or one sentence says which."""

from pathlib import Path

import pytest
import torch

from ldmbench.errors import InputError
from ldmbench.models.conditioner import Brought
from ldmbench.models.denoiser import build_denoiser
from ldmbench.models.loader import load
from ldmbench.models.start import start_weights
from ldmbench.schema.models import DenoiserParams

LDM = Path(__file__).parents[1] / "golden" / "diffusers" / "ldm"
NETWORK = {"channels": 8, "context_channels": 8, "multipliers": (1, 2)}


def built(seed=0, classes=4, channels=3, **fields):
    params = DenoiserParams(**({"conditioning": "class"} | NETWORK | fields))
    return build_denoiser(
        params, latent_channels=channels, latent_size=8, brought=Brought(classes=classes), seed=seed
    )


DIT = {"network": "dit", "width": 16, "depth": 2, "conditioning": "class"}


@pytest.mark.parametrize(
    "fields",
    [{"conditioning": "none"}, {"conditioning": "class"}, {"conditioning": "caption"}, DIT],
)
def test_the_denoiser_computes_what_its_source_computes(fields):
    own, source = built(**fields), built(1, **fields)
    for p in source.parameters():
        p.data += 0.1
    found = start_weights(own, source.model())
    own.overwrite(found)
    z, t, ids = torch.randn(2, 3, 8, 8), torch.tensor([3, 900]), source.null_ids(2)
    with torch.no_grad():
        assert torch.equal(own(z, t, ids), source(z, t, ids))


def test_what_joins_the_input_starts_at_zero():
    """As for inpainting: the masked image and its mask lie behind the latent."""
    own, source = built(conditioning="none", channels=7), built(1, conditioning="none")
    own.unet.conv_out = source.unet.conv_out
    own.unet.register_to_config(out_channels=3)
    own.overwrite(start_weights(own, source.model()))
    z, joined, t = torch.randn(2, 3, 8, 8), torch.randn(2, 4, 8, 8), torch.tensor([3, 900])
    with torch.no_grad():
        assert torch.allclose(own(torch.cat([z, joined], 1), t), source(z, t), atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"blocks": 2}, "its network has layers_per_block 1, and 2 is to be trained"),
        ({"conditioning": "none"}, "is a UNet2DConditionModel, and a UNet2DModel is to be trained"),
        ({"conditioning": "caption"}, "conditioner.* a tensor of the network that is to be"),
        ({"classes": 9}, r"shape \[5, 8\] there, and \[10, 8\]"),
        ({"attention_sizes": (8,)}, "down_block_types"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_in_one_sentence(fields, said):
    with pytest.raises(InputError, match=said) as error:
        start_weights(built(**fields), built(1).model())
    assert "\n" not in str(error.value)


def test_a_folder_of_diffusers_with_another_network_is_refused():
    with pytest.raises(InputError, match="ldm does not fit"):
        start_weights(built(conditioning="none"), load(LDM))
