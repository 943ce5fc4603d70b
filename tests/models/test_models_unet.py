"""UNets up to the paper's: what each field builds, and that it is written and read again."""

import pytest
import torch
from diffusers.models.attention_processor import Attention

from ldmbench.models import load
from ldmbench.models.conditioner import Brought
from ldmbench.models.denoiser import build_denoiser
from ldmbench.models.dropout import IndexedDropout, draw_from
from ldmbench.schema.models import DenoiserParams
from ldmbench.train.draws import generators_at

CPU = torch.device("cpu")
FIELDS = [
    {"blocks": 2, "heads": 4},
    {"head_channels": 8, "scale_shift": True},
    {"resblock_updown": True, "dropout": 0.2},
    {"resblock_updown": True, "scale_shift": True, "heads": 2, "transformer_depth": 2},
]


def unet(conditioning, **fields):
    given = {"channels": 16, "multipliers": (1, 2), "context_channels": 8}
    params = DenoiserParams(**(given | {"conditioning": conditioning} | fields))
    return build_denoiser(
        params, latent_channels=3, latent_size=8, brought=Brought(classes=5), seed=1
    )


def latents(n=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, 8, 8, generator=generator), torch.tensor([3, 700, 20, 900])[:n]


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("conditioning", ["none", "class", "inpainting"])
def test_what_is_built_is_written_and_read(conditioning, fields, tmp_path):
    made = unet(conditioning, **fields).eval()
    z, t = latents()
    made.save(tmp_path, raw=dict(made.named_parameters()), apart=False)
    again = load(tmp_path)
    joined = torch.ones(2, 4, 8, 8)  # the masked latent and its mask
    told = {"none": None, "class": [0, 4], "inpainting": joined}[conditioning]
    assert torch.allclose(again.eps(z, t, told), made.model().eps(z, t, told), atol=1e-6)
    assert again.info.parameters == made.parameter_count


@pytest.mark.parametrize("conditioning", ["none", "class"])
def test_heads_are_as_stated(conditioning):
    def heads(**fields):
        network = unet(conditioning, **fields).network
        return {m.heads for m in network.modules() if isinstance(m, Attention)}

    assert heads(heads=4) == {4}
    assert heads(head_channels=8) == {2, 4}
    assert heads() == {1, 2}


def test_residual_blocks_resample_and_times_scale_and_shift():
    for conditioning in ("none", "class"):
        plain, made = (unet(conditioning, **fields) for fields in ({}, {"resblock_updown": True}))
        assert made.parameter_count > plain.parameter_count
        shifted = unet(conditioning, scale_shift=True)
        resnets = [m for m in shifted.network.modules() if hasattr(m, "time_emb_proj")]
        assert all(m.time_emb_proj.out_features == 2 * m.out_channels for m in resnets)


def test_dropout_is_that_of_the_image_whatever_else_is_in_the_batch():
    made = unet("class", dropout=0.3).train()
    z, t = latents(4)
    ids = torch.tensor([0, 1, 2, 3])

    def out(rows, step=7):
        draw_from(made, generators_at(step, seed=0, rows=rows, device=CPU))
        with torch.no_grad():
            return made(z[rows], t[rows], ids[rows])

    before = torch.random.get_rng_state()
    whole = out(slice(0, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.testing.assert_close(torch.cat([out(slice(0, 1)), out(slice(1, 4))]), whole)
    assert not torch.equal(out(slice(0, 4), step=8), whole)
    made.eval()
    assert not torch.equal(out(slice(0, 4)), whole)


def test_dropout_keeps_the_mean():
    layer = IndexedDropout(0.25).train()
    draw_from(layer, generators_at(0, seed=0, rows=slice(0, 8), device=CPU))
    x = layer(torch.ones(8, 50, 50))
    assert x.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float(x.mean()) == pytest.approx(1.0, abs=0.02)
