"""Diffusion transformers: the paper's size and first weights, one table, diffusers' own folder."""

import json

import numpy as np
import pytest
import torch
from diffusers import DiTPipeline, DiTTransformer2DModel

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.autoencoder import build_first_stage, latent_shape, save_first_stage
from ldmbench.models.conditioner import Brought
from ldmbench.models.denoiser import build_denoiser
from ldmbench.models.dit import shared
from ldmbench.models.export import export_model
from ldmbench.models.files import blank
from ldmbench.models.flops import count_flops
from ldmbench.models.trained import load_trained
from ldmbench.sample import initial_noise
from ldmbench.schema.models import AutoencoderParams, DenoiserParams

CLASSES = 5
GIVEN = {"none": None, "class": [0, 4]}


def tiny(conditioning="class", *, channels=3, size=8, noisy=True, **fields):
    """Return a small network; `noisy` moves every weight, as training does: it begins as 0."""
    given = {"network": "dit", "width": 32, "depth": 3, "heads": 2, "conditioning": conditioning}
    sizes = {"latent_channels": channels, "latent_size": size, "brought": Brought(classes=CLASSES)}
    made = build_denoiser(DenoiserParams(**(given | fields)), **sizes, seed=1)
    generator = torch.Generator().manual_seed(0)
    for p in made.parameters() if noisy else ():
        p.data += 0.05 * torch.randn(p.shape, generator=generator)
    return made


def latents(n=2, *, channels=3, size=8):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, channels, size, size, generator=generator), torch.tensor([3, 700])[:n]


def test_it_begins_as_the_authors_code_lets_it():
    made = tiny(width=256, depth=2, noisy=False)
    network = made.network
    z, t = latents()
    assert torch.equal(made(z, t, torch.tensor([0, 1])), torch.zeros_like(z))
    assert not any(p.any() for n, p in network.named_parameters() if n.endswith("bias"))
    block = network.transformer_blocks[1]
    for zero in (block.norm1.linear, network.proj_out_1, network.proj_out_2):
        assert not zero.weight.any()
    bounds = {  # of xavier's uniform; q, k and v are one matrix there
        block.attn1.to_q: 4 * 256, block.attn1.to_out[0]: 2 * 256, block.ff.net[2]: 5 * 256,
    }  # fmt: skip
    for layer, fans in bounds.items():
        assert float(layer.weight.detach().abs().max()) == pytest.approx(
            (6 / fans) ** 0.5, rel=0.01
        )
    for table in (
        network.embedding.class_embedder.embedding_table,
        network.embedding.timestep_embedder.linear_2,
    ):
        assert float(table.weight.detach().std()) == pytest.approx(0.02, rel=0.06)


@pytest.mark.parametrize("patch", [1, 2, 4, 8])
def test_one_table_computes_what_a_table_in_each_block_does(patch):
    made = tiny(patch=patch).eval()
    z, t = latents()
    plain = made.network.untied()
    assert type(plain) is DiTTransformer2DModel
    labels = torch.tensor([2, CLASSES])
    with torch.no_grad():
        wanted = plain(z, t, labels).sample
        assert torch.equal(made(z, t, labels), wanted)
        assert torch.equal(shared(plain)(z, t, labels).sample, wanted)
    tables = sum(p.numel() for p in made.network.embedding.parameters())
    blocks = len(plain.transformer_blocks)
    assert plain.num_parameters() == made.parameter_count + (blocks - 1) * tables


def test_a_table_of_their_own_is_not_taken_for_a_shared_one():
    plain = tiny().network.untied()
    plain.transformer_blocks[2].norm1.emb.timestep_embedder.linear_1.bias[3] += 1
    with pytest.raises(InputError, match=r"transformer_blocks\.2\..* differs from block 0"):
        shared(plain)


def test_training_draws_nothing_from_the_global_generator():
    made = tiny().train()
    z, t = latents()
    before = torch.random.get_rng_state()
    outs = [made(z, t, torch.tensor([0, 1])) for _ in range(2)]
    assert torch.equal(*outs)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("conditioning", ["none", "class"])
@pytest.mark.parametrize("f", [1, 2])
def test_an_exported_transformer_samples_the_same(f, conditioning, tmp_path):
    stage = AutoencoderParams(f=f, channels=8)
    first = tmp_path / "first"
    save_first_stage(
        build_first_stage(stage, seed=1), first, params=stage, scale=1 if f == 1 else 0.7
    )
    channels, size, _ = latent_shape(stage, 16)
    made = tiny(conditioning, channels=channels, size=size).eval()
    raw = {name: p.detach() / 2 for name, p in made.named_parameters()}
    made.save(tmp_path / "denoiser", raw=raw, apart=f != 1)

    stored, out = load_trained(first, tmp_path / "denoiser"), tmp_path / "out"
    told = export_model(first, tmp_path / "denoiser", out, raw=False, origin={})
    model = load(out)
    is_pipeline = f != 1 and conditioning == "class"
    assert told.pipeline == ("DiTPipeline" if is_pipeline else None)
    config = json.loads((out / "transformer" / "config.json").read_text())
    assert config["_class_name"] == "DiTTransformer2DModel"
    assert model.info.conditioning == conditioning
    assert dict(model.info.parts)["denoiser"] == made.parameter_count

    noise = initial_noise([0, 1], seed=0, shape=model.info.latent_shape)
    way = {"steps": 3, "cond": GIVEN[conditioning], "guidance": 2.5 if is_pipeline else 1.0}
    assert np.array_equal(model.sample(noise, **way), stored.sample(noise, **way))
    half = load_trained(first, tmp_path / "denoiser", ema=False)
    for p, q in zip(model.network.parameters(), half.network.parameters(), strict=True):
        assert torch.equal(p / 2, q)
    if is_pipeline:
        same_as_diffusers(model, out)


def same_as_diffusers(model, folder):
    theirs = DiTPipeline.from_pretrained(folder, local_files_only=True)
    theirs.set_progress_bar_config(disable=True)
    noise = torch.randn(2, *model.info.latent_shape, generator=torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    told = {"num_inference_steps": 4, "output_type": "np", "guidance_scale": 1.0}
    wanted = theirs([0, 4], generator=generator, **told).images
    found = model.sample(noise, steps=4, cond=[0, 4]).astype(float)
    assert np.abs(found - wanted * 255).max() < 0.51


def test_null_ids_are_the_null_condition():
    made = tiny().eval()
    z, t = latents()
    model = made.model()
    with torch.no_grad():
        assert torch.equal(made(z, t, made.null_ids(2)), model.eps(z, t, [CLASSES, CLASSES]))
        assert not torch.equal(made(z, t, made.null_ids(2)), model.eps(z, t, [0, 4]))
    assert model.info.null_class == CLASSES


def test_without_a_condition_there_is_one_class():
    made = tiny("none").eval()
    z, t = latents()
    assert made.network.config.num_embeds_ada_norm == 1
    with torch.no_grad():
        wanted = made.network(z, t, torch.tensor([0, 0])).sample
        assert torch.equal(made(z, t), wanted)
        assert torch.equal(made.model().eps(z, t), wanted)


def test_flops_are_those_of_a_forward_pass():
    made = tiny().eval()
    z, t = latents(1)
    count = count_flops(lambda: made(z, t, torch.tensor([1])))
    assert count == made.flops_per_image() + made.condition_flops() > 0


def test_the_largest_of_the_paper_has_its_weights():
    params = DenoiserParams(
        network="dit", depth=28, width=1152, heads=16, patch=2, conditioning="class"
    )
    sizes = {"latent_channels": 4, "latent_size": 32, "brought": Brought(classes=1000)}
    made = blank(lambda: build_denoiser(params, **sizes, seed=0))
    # arXiv:2212.09748, table 4: 675M, of which ours has no channels of a variance in its last
    # layer, and has the sines and cosines of 256 positions as constants
    variance, positions = 4 * 4 * (1152 + 1), 256 * 1152
    assert made.parameter_count + variance + positions == 675_129_632
    # table 4: 118.6 Gflops, which are multiply-adds
    assert made.flops_per_image() / 2 == pytest.approx(118.6e9, rel=0.01)


def test_what_does_not_fit_says_so():
    with pytest.raises(InputError, match=r"patch is 4, which does not divide a latent of 6 x 6"):
        tiny(patch=4, size=6)
    with pytest.raises(InputError, match="heads is 3"):
        tiny(heads=3)
