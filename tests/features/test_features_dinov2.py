"""DINOv2 against timm's transformer with the same random weights."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from ldmbench.errors import InputError
from ldmbench.features import load_extractor
from ldmbench.features.dinov2 import DinoV2


def peer(side):
    torch.manual_seed(0)
    network = timm.models.vision_transformer.VisionTransformer(
        img_size=side,
        patch_size=14,
        embed_dim=128,
        depth=2,
        num_heads=2,
        init_values=1.0,
        num_classes=0,
    ).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network


def released(network):
    """timm's weights under the names that Meta publishes."""
    return {**network.state_dict(), "mask_token": torch.zeros(1, 128)}


@pytest.mark.golden
def test_features_equal_timm(tmp_path):
    network = peer(224)
    path = tmp_path / "dinov2_test_pretrain.pth"
    torch.save(released(network), path)
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (torch.from_numpy(images) / 255 - mean) / std
    with torch.no_grad():
        theirs = network.forward_features(x.permute(0, 3, 1, 2))[:, 0].numpy()
    ours = load_extractor("dinov2-vit-s-14", path=path).extract(images)["features"]
    assert np.abs(ours - theirs).max() < 2e-5 * np.abs(theirs).max()


@pytest.mark.golden
@pytest.mark.parametrize("way", ["dgm-eval", "edm2"])
def test_images_are_prepared_as_the_repository_does(way, tmp_path):
    network = peer(224)
    path = tmp_path / "model.safetensors"
    torch.save(network.state_dict(), path)  # timm's file: no mask_token
    images = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), dtype=np.uint8)
    if way == "dgm-eval":  # Pillow, both sides, 8 bits
        sides = [Image.fromarray(i).resize((224, 224), Image.Resampling.BICUBIC) for i in images]
        x = torch.from_numpy(np.stack([np.asarray(i) for i in sides])).permute(0, 3, 1, 2) / 255
    else:
        x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
        x = torch.nn.functional.interpolate(x, (224, 224), mode="bicubic", antialias=True) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (x - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        theirs = network.forward_features(x)[:, 0].numpy()
    ours = load_extractor(f"dinov2-vit-b-14-{way}", path=path).extract(images)["features"]
    assert np.abs(ours - theirs).max() < 2e-5 * np.abs(theirs).max()


def test_positions_are_interpolated_from_the_trained_grid():
    network = DinoV2(64, 0, 1 + 37 * 37)
    ramp = torch.linspace(0, 1, 37)
    network.pos_embed.data[:, 1:] = ramp.repeat(37)[None, :, None]
    grid = network._positions(16, 16).detach()[0, 1:, 0].reshape(16, 16)
    assert torch.allclose(grid, grid[:1].expand(16, 16), atol=1e-6)
    steps = grid[0].diff()
    assert torch.allclose(steps[2:-2], steps[2:-2].mean().expand(11), rtol=5e-2)
    assert steps[2:-2].mean().item() == pytest.approx(37 / 16.1 / 36, rel=1e-2)


def test_other_weights_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="no DINOv2"):
        load_extractor("dinov2-vit-s-14", path=path)
