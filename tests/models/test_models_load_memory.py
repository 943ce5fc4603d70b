"""Loading takes no second copy of the weights."""

import copy
import subprocess
import sys
from pathlib import Path

import compvis_zoo as zoo
import pytest
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden" / "compvis" / "ldm-uncond-vqf4" / "model.ckpt"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc"),
]


def make(folder, width, suffix):
    """Write an unconditional LDM of a width; returns its path. Weights are zeros."""
    family = zoo.FAMILIES["mixed"]
    weights = zoo.make("mixed", folder)
    scaled = {}
    for key, value in weights.items():
        if key.startswith("model_ema."):
            continue
        grown = key.startswith("model.")
        scaled[key] = grow(key, value, width) if grown else value
    config = copy.deepcopy(zoo.config_of(family))  # others read the same one
    config["model"]["params"]["unet_config"]["params"]["model_channels"] = width
    config["model"]["params"]["use_ema"] = False
    if suffix == ".safetensors":
        zoo.save(folder, {"x": torch.zeros(1)}, config)
        save_file(scaled, folder / "big.safetensors")
        return folder / "big.safetensors"
    zoo.save(folder, scaled, config)
    return folder / "model.ckpt"


def grow(key, value, width):
    """Return zeros of the shape that a wider network has; latents keep their three channels."""
    shape = [n if n in (1, 3) else n // 32 * width for n in value.shape]
    if value.shape[2:] == (3, 3):
        shape[2:] = [3, 3]
    return torch.zeros(shape)


def peaks(checkpoint):
    run = [sys.executable, str(HERE / "load_memory.py"), str(checkpoint), str(GOLDEN)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    return [int(n) for n in done.stdout.split()]


def make_folder(folder, width, *, shard):
    """Write an LDMPipeline of a width without holding its weights twice; returns the folder."""
    from diffusers import DDIMScheduler, UNet2DModel, VQModel
    from diffusers.pipelines.deprecated import LDMPipeline

    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=(width, 2 * width),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=32,
    )
    pipeline = LDMPipeline(VQModel(norm_num_groups=32), unet, DDIMScheduler())
    pipeline.save_pretrained(folder, max_shard_size=shard)
    return folder


def bytes_of(place):
    files = [place] if place.is_file() else list(place.rglob("*.safetensors"))
    return sum(p.stat().st_size for p in files)


@pytest.mark.parametrize(
    ("width", "kind"),
    [
        (160, ".safetensors"),
        (160, "folder"),
        pytest.param(544, ".ckpt", marks=pytest.mark.campaign),
        pytest.param(544, "shards", marks=pytest.mark.campaign),
    ],
)
def test_loading_peaks_below_a_third_more(tmp_path, width, kind):
    if kind.startswith("."):
        checkpoint = make(tmp_path, width, kind)
    else:
        told = {"folder": "10GB", "shards": "200MB" if width > 500 else "30MB"}
        checkpoint = make_folder(tmp_path / "ldm", width * 4 // 3 // 32 * 32, shard=told[kind])
    size = bytes_of(checkpoint)
    loaded, used = peaks(checkpoint)
    assert loaded < 1.3 * size + 30e6, (loaded / size, size)
    assert used < 1.3 * size + 60e6, (used / size, size)
    if width > 500:
        assert size > 0.9e9
        assert loaded < 1.3 * size
