"""Facts of a CompVis checkpoint that config and weights say unlike each other, or not at all."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import save_file

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.weights import read_weights
from ldmbench.plan.build import build_plan
from ldmbench.sources.models.peek import peek
from ldmbench.suite.load import load_suite
from ldmbench.tensors.entries import open_weights
from ldmbench.tensors.numbers import numbers

GOLDEN = Path(__file__).parents[1] / "golden" / "compvis" / "ldm-uncond-vqf4"
STORED = ("betas", "alphas", "sqrt", "log_one", "posterior")


@pytest.fixture(scope="module")
def tensors():
    return read_weights(GOLDEN / "model.ckpt", ema=False)


def written(folder, tensors, drop=(), **changes):
    """Write the golden model with other params ("a.b" is a param of a param), some left out."""
    config = YAML(typ="safe", pure=True).load(GOLDEN / "config.yaml")
    for name, value in changes.items():
        *path, last = name.split(".")
        node = config["model"]["params"]
        for step in path:
            node = node[step]
        if value is ...:
            node.pop(last, None)
        else:
            node[last] = value
    kept = {n: t for n, t in tensors.items() if not n.startswith(tuple(drop) or ("-",))}
    torch.save({"state_dict": kept}, folder / "model.ckpt")
    (folder / "config.yaml").write_text(json.dumps(config))
    return folder / "model.ckpt"


FIRST = "first_stage_config.params"


@pytest.mark.parametrize(
    ("changes", "more", "said"),
    [
        ({}, {"scale_factor": torch.tensor(0.7)}, "scale_factor 0.7.*write scale_by_std: true"),
        ({"scale_by_std": True}, {}, "scale_by_std is on, but scale_factor is missing"),
        ({"scale_factor": 0.0}, {}, "other than 0"),
        ({"linear_end": 0.012}, {}, "is not the one stored with the weights"),
        ({"timesteps": 1000.5}, {}, "whole number from 1"),
        ({"conditioning_key": "cross"}, {}, "allowed are concat, crossattn"),
        ({"first_stage_config": ...}, {}, "without first_stage_config"),
        ({"first_stage_config": {"target": "ldm.models.autoencoder.IdentityFirstStage"}}, {},
         "149 tensors of one"),
        ({f"{FIRST}.n_embed": 256}, {}, "n_embed is 256, but .*quantize.embedding.weight is .512"),
        ({f"{FIRST}.ddconfig.ch_mult": [1, 1]}, {}, "has 2 levels, but the weights have 3"),
        ({"first_stage_config.target": "x.AutoencoderKL"}, {}, "n_embed is not stated, but"),
        ({"unet_config.params.num_classes": 10}, {}, "num_classes is 10, but there is no"),
        ({"unet_config.params.out_channels": 6}, {}, "out_channels is 6, but"),
        ({"unet_config.params.num_head_channels": 5}, {}, "does not divide the 32 channels"),
        ({"unet_config.params.attention_resolutions": [4]}, {}, "level 1 has no attention"),
    ],
)  # fmt: skip
def test_contradictions_are_refused_before_anything_loads(tmp_path, tensors, changes, more, said):
    path, told = written(tmp_path, tensors | more, **changes), []
    for look in (peek, load):
        with pytest.raises(InputError, match=said) as caught:
            look(path)
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_a_process_that_nobody_states_is_said(tmp_path, tensors):
    silent = {"linear_start": ..., "linear_end": ..., "timesteps": ...}
    path = written(tmp_path, tensors, STORED, **silent)
    facts, info = peek(path), load(path).info
    assert facts.assumed == info.assumed
    fields = ("parameterization", "timesteps", "beta_schedule", "linear_start", "linear_end")
    assert all(any(f"does not state {name}: " in said for said in facts.assumed) for name in fields)
    assert facts.process == info.schedule.config()
    stored = peek(GOLDEN / "model.ckpt").assumed  # whose betas lie among its weights
    assert [said.split(": ")[0] for said in stored] == [
        "the config does not state parameterization"
    ]


def test_a_guide_of_other_betas_is_refused_by_plan(tmp_path, tensors):
    for name, end in (("a", 0.0195), ("b", 0.012)):
        (tmp_path / name).mkdir()
        written(tmp_path / name, tensors, STORED, linear_end=end)
    suite = {
        "suite": "s", "protocol": "shapes-v1",
        "data": {"s": {"kind": "shapes", "resolution": 64, "train": 64, "reference": 64}},
        "models": {"m": {"kind": "load", "path": "a", "guidance_model": "b"}},
        "sample": {"steps": 2, "count": 16, "guidance": 1.5}, "metrics": ["fid"], "probes": [],
    }  # fmt: skip
    (tmp_path / "s.yaml").write_text(json.dumps(suite))
    with pytest.raises(InputError, match="found 'b', but its betas are others"):
        build_plan(load_suite(tmp_path / "s.yaml"))


def test_sizes_that_differ_are_said(tmp_path, tensors):
    path = written(tmp_path, tensors, **{"unet_config.params.image_size": 32})
    assert any("for its UNet, 32: latents of 16 were taken" in said for said in peek(path).assumed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64])
def test_numbers_of_a_file_are_those_of_torch(tmp_path, dtype):
    values = (torch.arange(6) * 1.7).to(dtype)
    torch.save({"state_dict": {"x": values, "part": values[2:5:2]}}, tmp_path / "a.pt")
    save_file({"x": values}, tmp_path / "a.safetensors")
    for file, name in (("a.pt", "x"), ("a.pt", "part"), ("a.safetensors", "x")):
        found = numbers(tmp_path / file, open_weights(tmp_path / file).slots[name])
        want = values if name == "x" else values[2:5:2]
        assert np.array_equal(found, want.double().numpy())


def test_two_shards_with_one_tensor_are_refused(tmp_path):
    folder = shutil.copytree(GOLDEN.parents[1] / "diffusers" / "ldm", tmp_path / "m")
    unet = folder / "unet"
    one = unet / "diffusion_pytorch_model.safetensors"
    names = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for name in names:
        shutil.copy(one, unet / name)
    table = {"weight_map": {"conv_in.weight": names[0], "conv_in.bias": names[1]}}
    (unet / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(table))
    for look in (peek, load):
        with pytest.raises(InputError, match="in two of its shards"):
            look(folder)
