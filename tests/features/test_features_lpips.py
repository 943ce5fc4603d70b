"""LPIPS against the lpips and torchmetrics packages with the same random backbones."""

import lpips as peer
import numpy as np
import pytest
import torch
from shadow import ShadowDevice
from torchmetrics.functional.image.lpips import _LPIPS

from ldmbench import metrics
from ldmbench.errors import InputError
from ldmbench.features.lpips import load_lpips


def pairs(n=3, side=40):
    rng = np.random.default_rng(1)
    a = rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    b = np.clip(a + rng.normal(0, 30, a.shape), 0, 255).astype(np.uint8)
    return a, b


def as_input(x):
    return torch.from_numpy(x).permute(0, 3, 1, 2).float() / 127.5 - 1


def written(net, folder):
    """The peer's network, its random backbone as torchvision saves one, and its heads."""
    torch.manual_seed(0)
    network = peer.LPIPS(net=net, pnet_rand=True, verbose=False)
    backbone = {
        f"features.{name.split('.', 1)[1]}": value
        for name, value in network.net.state_dict().items()
    }
    heads = {f"lin{i}.model.1.weight": lin.model[1].weight for i, lin in enumerate(network.lins)}
    torch.save(backbone, folder / "backbone.pth")
    torch.save(heads, folder / "heads.pth")
    return net, network, folder / "backbone.pth", folder / "heads.pth"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The smaller network."""
    return written("alex", tmp_path_factory.mktemp("alex"))


@pytest.mark.slow
@pytest.mark.golden
@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_equals_the_lpips_package(net, tmp_path):
    _, network, backbone, heads = written(net, tmp_path)
    a, b = pairs()
    with torch.no_grad():
        theirs = network(as_input(a), as_input(b)).flatten().numpy()
    ours = load_lpips(net, backbone=backbone, heads=heads)
    np.testing.assert_allclose(ours(a, b), theirs, rtol=1e-4)
    assert ours(a, a).max() == 0


@pytest.mark.golden
def test_equals_torchmetrics(files):
    net, network, backbone, heads = files
    twin = _LPIPS(pretrained=True, net=net, pnet_rand=True)
    twin.load_state_dict(network.state_dict(), strict=False)
    a, b = pairs()
    with torch.no_grad():
        theirs = twin(as_input(a), as_input(b)).flatten().numpy()
    ours = load_lpips(net, backbone=backbone, heads=heads, convention="torchmetrics")
    np.testing.assert_allclose(ours(a, b), theirs, rtol=1e-4)


def test_distances_on_a_device_are_the_cpus_bytes(files):
    net, _, backbone, heads = files
    a, b = pairs()
    known = load_lpips(net, backbone=backbone, heads=heads)(a, b)
    with ShadowDevice() as stand_in:
        ours = load_lpips(net, backbone=backbone, heads=heads, device="cuda:0")
        stand_in.copies.clear()
        assert ours(a, b).tobytes() == known.tobytes()
    assert stand_in.copies["from", "cpu"] > 0  # it was on the device


def test_the_metric_reads_the_network_by_path(files, tmp_path):
    net, _, backbone, heads = files
    a, b = pairs()
    known = load_lpips(net, backbone=backbone, heads=heads)(a, b)
    where = {"net": net, "backbone": str(backbone), "heads": heads}
    np.testing.assert_array_equal(metrics.lpips(a, b, **where), known)
    score = metrics.bootstrap("lpips", a, b, **where)
    assert score.value == pytest.approx(known.mean())
    assert score.low < score.value < score.high
    with pytest.raises(InputError):
        metrics.lpips(a, b, backbone=tmp_path / "absent", heads=heads)


def test_wrong_input_is_refused(files, tmp_path):
    net, _, backbone, heads = files
    ours = load_lpips(net, backbone=backbone, heads=heads)
    a, b = pairs()
    for wrong in (b[:2], b.astype(np.float32)):
        with pytest.raises(InputError, match="pairs"):
            ours(wrong, a)
    with pytest.raises(InputError, match="32 pixels"):
        ours(a[:, :16], b[:, :16])
    with pytest.raises(InputError, match=r"features\.0\.weight"):
        load_lpips(net, backbone=heads, heads=heads)
    with pytest.raises(InputError, match="is no file"):
        load_lpips(net, backbone=tmp_path / "absent", heads=heads)
    with pytest.raises(InputError, match="LPIPS network"):
        load_lpips("resnet")


def test_missing_weights_fail_closed(weights_home):
    with pytest.raises(InputError, match=r"alexnet-owt-7be5be79\.pth"):
        load_lpips("alex")


def test_given_files_are_checked_where_their_digest_is_given(tmp_path):
    for name in ("backbone", "heads"):
        file = tmp_path / name
        file.write_bytes(b"x")
        with pytest.raises(InputError, match=r"has the sha256 .*, expected 00"):
            load_lpips("alex", **{name: file, f"{name}_sha256": "00" * 32})
