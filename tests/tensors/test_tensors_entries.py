"""Which part of a checkpoint is taken, whatever a trainer calls it."""

import collections
import sys
import types

import pytest
import torch
from safetensors.torch import save_file

from ldmbench.errors import InputError
from ldmbench.tensors.entries import open_weights, unwrapped, without
from ldmbench.tensors.read import fetch

RAW = {"block.weight": torch.arange(6.0).reshape(2, 3), "block.bias": torch.tensor([1.0, 2.0])}
EMA = {name: value + 10 for name, value in RAW.items()}
OPT = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}


def save(tmp_path, content, **options):
    torch.save(content, tmp_path / "model.pt", **options)
    return tmp_path / "model.pt"


def taken(path, **options):
    held = open_weights(path, **options)
    return held, fetch(path, held.slots)


def same(found, wanted):
    return found.keys() == wanted.keys() and all(torch.equal(found[k], wanted[k]) for k in wanted)


@pytest.mark.parametrize(
    ("content", "entry", "averaged"),
    [
        (RAW, "", False),
        ({"model": RAW, "ema": EMA, "opt": OPT}, "ema", True),
        ({"model": RAW, "model_ema": EMA}, "model_ema", True),
        ({"params": RAW, "params_ema": EMA}, "params_ema", True),
        ({"state_dict": RAW, "state_dict_ema": EMA}, "state_dict_ema", True),
        ({"G": RAW, "D": OPT, "G_ema": EMA}, "G_ema", True),
        ({"net": RAW, "ema_0.9999": {"module": EMA}}, "ema_0.9999.module", True),
        ({"ema": {"ema_model": EMA, "online_model": RAW}, "model": RAW}, "ema.ema_model", True),
        ({"ema": EMA}, "ema", True),
        ({"model": RAW, "modelEma": EMA, "ema_optimizer": RAW}, "modelEma", True),
        ({"model": RAW, "avg_model": EMA}, "avg_model", True),
        (
            {"state_dict": RAW, "callbacks": {"EMA": {"ema_state_dict": EMA, "other": RAW}}},
            "callbacks.EMA.ema_state_dict",
            True,
        ),
        ({"ema_model": EMA, "step": torch.tensor(7)}, "ema_model", True),
        ({"module": RAW, "optimizer": OPT}, "module", False),
        ({"generator": RAW, "discriminator": RAW}, "generator", False),
        ({"state_dict": {"state_dict": RAW}}, "state_dict.state_dict", False),
        ({"state_dict": RAW, "optimizer_states": [OPT], "loops": {"a": 1}}, "state_dict", False),
        ({"model": RAW, "avg_losses": [torch.ones(())], "exp_avg": RAW}, "model", False),
        ({"my_unet": RAW, "epoch": 3, "lr_scheduler": {"x": torch.ones(1)}}, "my_unet", False),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_entry_that_is_meant(tmp_path, content, entry, averaged):
    held, found = taken(save(tmp_path, content))
    assert (held.entry, held.averaged) == (entry, averaged)
    assert held.source == ("model.pt" if not entry else f"model.pt [{entry}]")
    assert same(found, EMA if averaged else RAW)
    if averaged and any(key in content for key in ("model", "params", "state_dict", "G", "net")):
        held, found = taken(tmp_path / "model.pt", ema=False)
        assert not held.averaged
        assert same(found, RAW)


@pytest.mark.parametrize(
    ("content", "ema", "said"),
    [
        ({"ema": EMA}, False, "averaged weights alone"),
        ({"first": RAW, "second": RAW}, True, "several sets of weights: entries 'first', 'second'"),
        ({"model": RAW, "ema_0.99": EMA, "ema_0.9": EMA}, True, "several sets of averaged weights"),
        ({"model": RAW, "ema": {"shadow_params": [*EMA.values()]}}, True, "without names"),
        (OPT, True, "state of an optimizer"),
        ({"epoch": 3}, True, "holds no tensors"),
        ([RAW], True, "holds no tensors"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path, content, ema, said):
    with pytest.raises(InputError, match=said):
        open_weights(save(tmp_path, content), ema=ema)


@pytest.mark.parametrize("front", ["module.", "_orig_mod.module.", "model.", "model.module.",
                                   "_forward_module.model.", "module.ema_model."])  # fmt: skip
def test_wrappers_are_taken_off_in_any_order(tmp_path, front):
    content = {f"{front}{name}": value for name, value in RAW.items()}
    held = unwrapped(open_weights(save(tmp_path, content)), ("block.",))
    assert held.slots.keys() == RAW.keys()
    assert held.averaged == ("ema" in front)


def test_wrappers_inside_names_and_averages_without_dots(tmp_path):
    raw = {"model._orig_mod.diffusion_model.out.weight": torch.ones(2)}
    averages = {"model_ema._orig_moddiffusion_modeloutweight": torch.zeros(2)}
    beside = {"online.x": torch.ones(1), "n_averaged": torch.tensor(3)}
    path = save(tmp_path, raw | averages | beside)
    heads = ("model.diffusion_model.", "model_ema.")
    held = without(unwrapped(open_weights(path), heads), ["online.*"])
    names = {"model.diffusion_model.out.weight", "model_ema.diffusion_modeloutweight"}
    assert held.slots.keys() == names
    assert held.left_out == ("n_averaged (1)", "online.* (1)")


@pytest.mark.parametrize(
    ("raw", "averaged"),
    [("net.", "net_ema."), ("model.", "model_ema.module."), ("model.", "ema.ema_model."),
     ("ema.online_model.", "ema.ema_model.")],
)  # fmt: skip
def test_copies_of_a_module_that_keeps_its_own_average(tmp_path, raw, averaged):
    content = {f"{raw}{k}": v for k, v in RAW.items()}
    content |= {f"{averaged}{k}": v for k, v in EMA.items()}
    path = save(tmp_path, content | {"model_ema.n_averaged": torch.tensor(3)})
    for ema, wanted in ((True, EMA), (False, RAW)):
        held = without(unwrapped(open_weights(path), ("block.",), ema=ema))
        assert same(fetch(path, held.slots), wanted)
        assert held.averaged == ema


def test_two_copies_side_by_side_and_names_that_meet(tmp_path):
    both = {f"ema_model.{k}": v for k, v in EMA.items()}
    both |= {f"online_model.{k}": v for k, v in RAW.items()}
    path = save(tmp_path, both)
    for ema, wanted in ((True, EMA), (False, RAW)):
        held = unwrapped(open_weights(path), ("block.",), ema=ema)
        assert same(fetch(path, held.slots), wanted)
        assert held.beside == ("online_model" if ema else "ema_model",)
    path = save(tmp_path, {"block.weight": RAW["block.bias"], "module.block.weight": torch.ones(2)})
    with pytest.raises(InputError, match=r"two tensors are named block\.weight"):
        unwrapped(open_weights(path), ("block.",))


def mapping(module, name):
    return type(name, (dict,), {"__module__": module})


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("archive", [True, False], ids=["archive", "before 1.6"])
@pytest.mark.parametrize(
    ("module", "name"),
    [("yacs.config", "CfgNode"), ("easydict", "EasyDict"), ("hparams", "dotdict")],
)
def test_configs_that_are_dicts_stay_inert(tmp_path, monkeypatch, module, name, archive, protocol):
    node = mapping(module, name)
    for part in (module.partition(".")[0], module):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    setattr(sys.modules[module], name, node)
    config = node(lr=1e-4, model=node(channels=32), steps=[1, 2])
    config.frozen = True
    content = {"config": config, "state_dict": collections.OrderedDict(RAW)}
    options = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": archive}
    path = save(tmp_path, content, **options)
    monkeypatch.undo()
    assert same(taken(path)[1], RAW)
    assert module not in sys.modules


def test_equal_weights_give_equal_memory(tmp_path):
    """Of any file, dense and on a boundary of 64 bytes, half precision as float32."""
    whole = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    odd = {"a": whole.half(), "t": whole.t(), "cut": whole[1:3, 2:], "shared": whole,
           "again": whole, "n": torch.tensor(3), "none": torch.zeros(0, 2),
           "wide": torch.ones(1).expand(4)}  # fmt: skip
    dense = {name: value.contiguous().clone() for name, value in odd.items()}
    dense["a"] = dense["a"].float()
    torch.save(odd, tmp_path / "new.pt")
    torch.save(odd, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for i, note in enumerate(("x", "of another length")):
        tensors = {k: v.contiguous().clone() for k, v in odd.items()}
        save_file(tensors, tmp_path / f"{i}.safetensors", metadata={"note": note})
    for path in sorted(tmp_path.iterdir()):
        _, found = taken(path)
        assert same(found, dense)
        assert all(v.data_ptr() % 64 == 0 and v.is_contiguous() for v in found.values())


def test_names_that_safetensors_dropped_are_there(tmp_path):
    save_file({"a": RAW["block.bias"]}, tmp_path / "m.safetensors", metadata={"b": "a"})
    assert taken(tmp_path / "m.safetensors")[1].keys() == {"a", "b"}
