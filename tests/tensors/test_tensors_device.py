"""Devices by their names, and what is said of them."""

import pytest
import torch
from shadow import NAME, ShadowDevice

from ldmbench.errors import InputError
from ldmbench.features import load_extractor
from ldmbench.tensors.device import describe, memory_in_words, software_in_words, usable_device


@pytest.mark.parametrize("name", ["cuda:99", "cuda:abc", "mpsfoo", ""])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(name):
    with pytest.raises(InputError, match=f"device: found '{name}'; allowed here: cpu"):
        load_extractor("shapes-net", device=name)


def test_a_device_that_is_there_is_taken():
    assert usable_device("cpu") == torch.device("cpu")
    with ShadowDevice():
        assert usable_device("cuda:0") == torch.device("cuda:0")


def test_a_gpu_is_described_with_its_software_and_a_processor_without():
    with ShadowDevice():
        found, said = describe("cuda:0"), software_in_words("cuda:0")
    assert {"device": NAME, "kind": "cuda", "capability": "9.0"}.items() <= found.items()
    assert found.keys() >= {"driver", "cuda", "cudnn", "torch_build"}
    assert "TF32 off" in said
    assert describe("cpu").keys() == {"device", "kind", "cuda"}
    assert software_in_words("cpu") == ""


def test_memory_is_told_of_this_process_and_of_others(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10 << 30, 80 << 30))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 20 << 30)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 30 << 30)
    assert memory_in_words("cuda:0") == (
        "tensors of this process fill 20.0 of its 30.0 GiB, 10.0 of 80.0 GiB are free, and the"
        " rest is of other processes"
    )
    assert memory_in_words("cpu").startswith("this process holds ")
