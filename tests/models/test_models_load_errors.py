"""What cannot or must not be loaded: one sentence each, and nothing executed."""

import collections
import os
import pickle
import subprocess
import sys
import typing
import zipfile
from pathlib import Path

import compvis_zoo as zoo
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ldmbench import errors
from ldmbench.models import load
from ldmbench.models.weights import read_weights

GOLDEN = Path(__file__).parents[1] / "golden" / "compvis"


@pytest.fixture(scope="module")
def base():
    """Return the state dict and config of the golden LDM."""
    import json

    from ruamel.yaml import YAML

    folder = GOLDEN / "ldm-uncond-vqf4"
    config = YAML(typ="safe", pure=True).load(folder / "config.yaml")
    return read_weights(folder / "model.ckpt"), json.loads(json.dumps(config))


def refused(path, said, **options):
    with pytest.raises(errors.InputError, match=said) as caught:
        load(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "call",
    [
        (os.system, "touch {mark}"),
        (subprocess.Popen, ["touch", "{mark}"]),
        (eval, "__import__('pathlib').Path('{mark}').touch()"),
        (exec, "open('{mark}', 'w')"),
        (open, "{mark}", "w"),
        (torch.hub.download_url_to_file, "file:///etc/hostname", "{mark}"),
        (np.save, "{mark}", 1),
    ],
    ids=["system", "popen", "eval", "exec", "open", "torch", "numpy"],
)
def test_a_pickle_that_would_execute_is_refused(tmp_path, call, protocol):
    mark = tmp_path / "executed"
    function, *arguments = call
    arguments = [
        [a.format(mark=mark) for a in arg] if isinstance(arg, list) else arg
        for arg in (a.format(mark=mark) if isinstance(a, str) else a for a in arguments)
    ]
    data = zoo.evil_bytes(function, *arguments, protocol=protocol)
    plain = tmp_path / "plain.ckpt"
    plain.write_bytes(data)
    archived = tmp_path / "archived.ckpt"
    with zipfile.ZipFile(archived, "w") as archive:
        archive.writestr("model/data.pkl", data)
        archive.writestr("model/version", "3")
        archive.writestr("model/byteorder", "little")
    before = set(sys.modules)
    for path in (plain, archived):
        said = refused(path, "", config={"model": {"target": "x.AutoencoderKL"}})
        assert "execut" in said or "not a checkpoint" in said or "running code" in said
    assert not mark.exists()
    added = {m for m in set(sys.modules) - before if m.startswith(("pytorch_lightning", "ldm"))}
    assert not added


def test_a_call_hidden_in_a_good_checkpoint_is_refused(tmp_path, base):
    mark = tmp_path / "executed"
    content = {
        "state_dict": dict(base[0]),
        "callbacks": {"x": zoo.Evil(os.system, f"touch {mark}")},
    }
    torch.save(content, tmp_path / "model.ckpt")
    said = refused(tmp_path, "could execute code", config=base[1])
    assert "'posix.system'" in said
    assert not mark.exists()


def test_foreign_classes_stay_inert(tmp_path, base):
    """Classes of libraries that are not there become stubs; their state is not kept."""
    from pathlib import PurePosixPath

    with zoo.ForeignClass("omegaconf.dictconfig", "DictConfig") as cls:
        cls.__reduce__ = lambda self: (cls, (), {"content": {"a": 1}})
        content = {
            "state_dict": collections.OrderedDict(base[0]),
            "hyper_parameters": cls(),
            "callbacks": {cls: {"best": np.float64(0.5)}},
            "path": PurePosixPath("x").name,
            "types": [typing.Any, dict, int],  # what omegaconf's nodes carry
        }
        torch.save(content, tmp_path / "model.ckpt")
    before = set(sys.modules)
    model = load(tmp_path / "model.ckpt", config=base[1])
    assert model.info.weights == "ema"
    assert not [m for m in set(sys.modules) - before if m.startswith("omegaconf")]


def test_old_checkpoints_that_are_not_archives_load(tmp_path, base):
    with zoo.ForeignClass("pytorch_lightning.callbacks", "ModelCheckpoint") as cls:
        content = {"state_dict": dict(base[0]), "callbacks": {cls: 1}}
        torch.save(content, tmp_path / "model.ckpt", _use_new_zipfile_serialization=False)
    model = load(tmp_path, config=base[1])
    want = load(GOLDEN / "ldm-uncond-vqf4")
    z, t = torch.ones(1, 3, 16, 16), torch.tensor([9])
    assert torch.equal(model.eps(z, t), want.eps(z, t))


def test_half_precision_and_safetensors_load(tmp_path, base):
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in base[0].items()}
    save_file({k: v.contiguous() for k, v in tensors.items()}, tmp_path / "model.safetensors")
    model = load(tmp_path / "model.safetensors", config=base[1])
    want = load(GOLDEN / "ldm-uncond-vqf4")
    z, t = torch.ones(1, 3, 16, 16), torch.tensor([9])
    ours, theirs = model.eps(z, t), want.eps(z, t)
    assert ours.dtype == torch.float32
    assert (ours - theirs).abs().max() < 0.02 * theirs.abs().max()


def changed(tmp_path, base, *, drop=(), add=(), **params):
    tensors = {k: v for k, v in base[0].items() if k not in drop}
    tensors |= dict.fromkeys(add, torch.zeros(2))
    config = {"model": base[1]["model"] | {"params": base[1]["model"]["params"] | params}}
    torch.save({"state_dict": tensors}, tmp_path / "model.ckpt")
    return {"path": tmp_path / "model.ckpt", "config": config}


def test_missing_and_extra_keys_are_named(tmp_path, base):
    lost = "model.diffusion_model.middle_block.0.in_layers.0.weight"
    ema = "model_ema." + lost[6:].replace(".", "")
    said = refused(**changed(tmp_path, base, drop=[lost, ema]), said="1 missing")
    assert "middle_block.0.in_layers.0.weight" in said
    refused(**changed(tmp_path, base, drop=[ema]), said="averaged weights are not those")
    load(**changed(tmp_path, base, drop=[ema]), ema=False)
    refused(**changed(tmp_path, base, add=["first_stage_model.spare.bias"]), said="spare.bias")
    refused(**changed(tmp_path, base, add=["mystery.weight"]), said="mystery.weight")
    refused(**changed(tmp_path, base, add=["model_ema.spare"]), said="1 not asked for")
    one = "first_stage_model.quant_conv.bias"
    whole = base[0] | {one: base[0][one].to(torch.int64)}
    torch.save({"state_dict": whole}, tmp_path / "model.ckpt")
    refused(tmp_path / "model.ckpt", "quant_conv.bias is torch.int64", config=base[1])
    refused(**changed(tmp_path, base, drop=[one]), said=r"missing \(quant_conv\.bias\)")


def test_a_config_that_does_not_match_its_weights_is_told(tmp_path, base):
    unet = base[1]["model"]["params"]["unet_config"]
    first = base[1]["model"]["params"]["first_stage_config"]

    def with_unet(**values):
        return {"unet_config": unet | {"params": unet["params"] | values}}

    def with_dd(**values):
        dd = first["params"]["ddconfig"] | values
        return {"first_stage_config": first | {"params": first["params"] | {"ddconfig": dd}}}

    for params, said in (
        (with_unet(model_channels=64), "model_channels by channel_mult is 64, but"),
        (with_unet(num_res_blocks=2), "by num_res_blocks and"),
        (with_unet(channel_mult=[1, 1]), "not asked for"),
        (with_unet(attention_resolutions=[4]), "level 1 has no attention"),
        (with_unet(use_spatial_transformer=True, context_dim=8), "unconditional, but"),
        (with_unet(dims=3), "another dimension"),
        (with_unet(disable_middle_self_attn=True), "middle without self-attention"),
        (with_unet(num_head_channels=-1), "neither num_heads nor num_head_channels"),
        (with_unet(in_channels=None), "wrong kind"),
        (with_dd(ch_mult=[1, 1]), "has 2 levels, but the weights have 3"),
        (with_dd(attn_resolutions=[16]), "missing"),
        (with_dd(attn_type="none"), "not asked for"),
        (with_dd(attn_type="linear"), "missing"),
        (with_dd(attn_type="sparse"), "attn_type 'sparse' is not supported"),
        (with_dd(resamp_with_conv=False), "not asked for"),
        (with_dd(give_pre_end=True), "give_pre_end"),
        (with_dd(ch_mult="wide"), "wrong kind"),
        (with_unet(num_head_channels=0), "wrong kind"),
        (with_unet(model_channels="many"), "wrong kind"),
        (with_unet(num_classes="continuous"), "num_classes = 'continuous'"),
        (with_unet(context_dim=8), "come together"),
        ({"linear_end": 0.012}, "noise schedule"),
        ({"timesteps": 500}, "noise schedule"),
        ({"beta_schedule": "sqrt"}, "noise schedule"),
        ({"beta_schedule": "sigmoid"}, "beta_schedule 'sigmoid'"),
        ({"cosine_s": 0.1, "beta_schedule": "cosine"}, "noise schedule"),
        ({"given_betas": [0.1, 0.2]}, "noise schedule"),
        ({"v_posterior": 0.5}, "v_posterior = 0.5"),
        ({"parameterization": "mu"}, "parameterization 'mu'"),
        ({"scale_by_std": True}, "scale_factor is missing"),
        ({"cond_stage_config": {"target": "x.ClassEmbeder"}}, "did you mean 'ClassEmbedder'"),
        ({"unet_config": {"target": "x.DiT"}}, "only UNetModel"),
    ):
        refused(**changed(tmp_path, base, **params), said=said)


def test_configs_are_found_or_asked_for(tmp_path, base):
    torch.save({"state_dict": dict(base[0])}, tmp_path / "model.ckpt")
    refused(tmp_path / "model.ckpt", "no config beside it")
    refused(tmp_path / "model.ckpt", "not a file", config=tmp_path / "nowhere.yaml")
    (tmp_path / "config.yaml").write_text("model: [unclosed")
    refused(tmp_path / "model.ckpt", "not readable as YAML")
    (tmp_path / "config.yaml").write_text("- a list")
    refused(tmp_path / "model.ckpt", "not a mapping")
    (tmp_path / "config.yaml").write_text("something: else")
    refused(tmp_path / "model.ckpt", "no section 'model'")
    (tmp_path / "config.yaml").write_text("model: {target: ldm.LatentDifusion}")
    refused(tmp_path / "model.ckpt", "did you mean 'LatentDiffusion'")
    (tmp_path / "config.yaml").rename(tmp_path / "model.yaml")
    (tmp_path / "model.yaml").write_text((GOLDEN / "ldm-uncond-vqf4" / "config.yaml").read_text())
    assert load(tmp_path).info.f == 4


def test_damaged_and_foreign_files_are_told(tmp_path):
    whole = (GOLDEN / "kl-f8" / "model.ckpt").read_bytes()
    config = GOLDEN / "kl-f8" / "config.yaml"
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(whole[: len(whole) // 2])
    refused(cut, "cut.ckpt.*its end is missing", config=config)
    for name, data in (("text.ckpt", b"hello"), ("empty.ckpt", b""), ("a.safetensors", b"x" * 64)):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, name, config=config)
    (tmp_path / "number.ckpt").write_bytes(pickle.dumps(3))
    refused(tmp_path / "number.ckpt", "number.ckpt", config=config)
    (tmp_path / "model.onnx").write_bytes(b"x")
    refused(tmp_path / "model.onnx", "no checkpoint by its name")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "holds no model_index.json")
    torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / "script.pt")
    refused(tmp_path / "script.pt", "TorchScript", config=config)


def test_wrong_questions_to_a_model_are_answered():
    model = load(GOLDEN / "ldm-uncond-vqf4")
    z = torch.zeros(2, 3, 16, 16)
    for call, said in (
        (lambda: model.sample(z, steps=300), "past T - 1"),
        (lambda: model.sample(z, steps=5, eta=1.0), "give seeds"),
        (lambda: model.sample(z, steps=5, sampler="ddim5"), "did you mean 'ddim'"),
        (lambda: model.sample(z, steps=5, timesteps="compviz"), "did you mean 'compvis'"),
        (lambda: model.sample(z, steps=5, quantize="trunc"), "round or truncate"),
        (lambda: model.sample(z, steps=5, cond=[1, 2]), "unconditional; leave cond out"),
        (lambda: model.sample(z, steps=5, guidance=2.0), "guidance must be 1"),
        (lambda: model.sample(z[:, :2], steps=5), r"latents must be float \(B, 3, h, w\)"),
        (lambda: model.encode(torch.zeros(1, 3, 30, 30)), "divisible by f = 4"),
        (lambda: model.encode(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)), "float NCHW"),
        (lambda: model.eps(z, torch.tensor([1000, 2])), r"lie in \[0, 1000\)"),
    ):
        with pytest.raises(errors.InputError, match=said):
            call()
