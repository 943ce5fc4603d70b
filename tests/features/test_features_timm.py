"""Networks of timm, small ones of random weights, against timm itself; imports by name."""

import json
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from ldmbench.canonical import digest_file
from ldmbench.catalog.extractors import EXTRACTORS
from ldmbench.cli import outcome
from ldmbench.errors import InputError
from ldmbench.features import load_extractor
from ldmbench.features.checkpoint import check_shapes
from ldmbench.features.dinov2 import network as dinov2
from ldmbench.features.timm_models import UNUSED
from ldmbench.features.timm_models import network as by_timm

NARROW = (("depth", 1), ("embed_dim", 32), ("num_heads", 2))
SMALL = {
    "convnextv2-base-fd-loss": (("depths", (1, 1, 1, 1)), ("dims", (8, 8, 16, 16))),
    "dinov2-vit-l-14-fd-loss": NARROW,
    "mae-vit-l-16-fd-loss": NARROW,
    "siglip2-so400m-16-fd-loss": NARROW,
    "clip-vit-l-14-fd-loss": NARROW,
}


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Give a row its network in small, and a file of random weights of it as timm publishes it."""

    def make(name):
        row = EXTRACTORS[name]
        row = replace(row, options=(*row.options, *SMALL[name]), dim=16 if "conv" in name else 32)
        monkeypatch.setitem(EXTRACTORS, name, row)
        torch.manual_seed(0)
        given = {key: value for key, value in row.options if "dynamic" not in key}
        network = timm.create_model(row.network, pretrained=False, **given).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        path = tmp_path / f"{name}.safetensors"
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)
        return row, network, path

    return make


def prepared(images, row, network):
    """Images as FD-loss prepares them: [0, 1], bicubic, the network's own mean and deviation."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    x = torch.nn.functional.interpolate(x, (row.side,) * 2, mode="bicubic", antialias=True)
    config = network.pretrained_cfg
    mean, std = (torch.tensor(config[k])[:, None, None] for k in ("mean", "std"))
    return (x - mean) / std


@pytest.mark.golden
@pytest.mark.parametrize("name", SMALL)
def test_features_equal_timm(name, small):
    row, network, path = small(name)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    x = prepared(images, row, network)
    if row.options[0][0].startswith("dynamic"):  # timm resamples positions for the padded side
        network = timm.create_model(row.network, num_classes=0, **dict(row.options)).eval()
        network.load_state_dict(
            {n: t for n, t in torch_file(path).items() if not n.startswith("head.")}
        )
    with torch.no_grad():
        found = network.forward_features(x)
        if "conv" in name:
            theirs = found.mean(dim=(2, 3))
        elif "siglip" in name:
            theirs = network.forward_head(found, pre_logits=True)
        else:
            theirs = found[:, 0]
    ours = load_extractor(name, path=path).extract(images)["features"]
    assert ours.shape == (2, row.dim)
    assert np.abs(ours - theirs.numpy()).max() < 3e-5 * theirs.abs().max().item()
    again = np.ascontiguousarray(images[1:])
    np.testing.assert_array_equal(
        load_extractor(name, path=path).extract(again)["features"][0], ours[1]
    )


def torch_file(path):
    from safetensors.torch import load_file

    return load_file(path)


@pytest.mark.slow
def test_full_size_networks_have_the_tensors_of_the_published_files():
    for name in SMALL:
        row = EXTRACTORS[name]
        with torch.device("meta"):
            whole = timm.create_model(row.network, pretrained=False)
        shapes = {n: tuple(t.shape) for n, t in whole.state_dict().items() if n not in UNUSED}
        check_shapes(by_timm(row), shapes, "file")
        assert by_timm(row).num_features == row.dim
    with torch.device("meta"):
        for size, row in (("base", "dinov2-vit-b-14"), ("large", "dinov2-vit-l-14")):
            whole = timm.create_model(f"vit_{size}_patch14_dinov2", pretrained=False)
            shapes = {n: tuple(t.shape) for n, t in whole.state_dict().items()}
            check_shapes(dinov2(EXTRACTORS[row]), shapes, "file")


def test_a_file_is_imported_by_name_and_pinned(small, weights_home, tmp_path, capsys):
    name = "mae-vit-l-16-fd-loss"
    row, _, path = small(name)
    other = small("dinov2-vit-l-14-fd-loss")[2]
    assert outcome(["weights", "import", str(other), "--as", row.weights]) == 2
    assert "weights of another network" in capsys.readouterr().err
    assert outcome(["weights", "import", str(path), "--as", row.weights, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sha256"] == digest_file(path)
    assert told["origin"].startswith("pinned by import 20")
    assert load_extractor(name).digest == digest_file(path)
    assert outcome(["weights", "verify", row.weights]) == 0
    assert "verified" in capsys.readouterr().out
    file = weights_home / row.weights / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert outcome(["weights", "verify", row.weights]) == 2
    with pytest.raises(InputError, match="expected"):
        load_extractor(name)


def test_import_as_an_unknown_name(tmp_path, weights_home, capsys):
    (tmp_path / "f").write_bytes(b"")
    assert outcome(["weights", "import", str(tmp_path / "f"), "--as", "vit_large_patch16_224"]) == 2
    assert "vit_large_patch16_224.mae" in capsys.readouterr().err
