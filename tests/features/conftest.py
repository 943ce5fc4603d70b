"""Random Inception weights in exactly the formats that torch-fidelity and clean-fid load."""

import numpy as np
import pytest
import torch
from torch import nn

from ldmbench.features.inception_weights import _BLOCKS, _KINDS, _STEM

# name -> (in, out, kernel, stride, padding), as the network is published
STEM = {
    "Conv2d_1a_3x3": (3, 32, (3, 3)),
    "Conv2d_2a_3x3": (32, 32, (3, 3)),
    "Conv2d_2b_3x3": (32, 64, (3, 3)),
    "Conv2d_3b_1x1": (64, 80, (1, 1)),
    "Conv2d_4a_3x3": (80, 192, (3, 3)),
}


def _block_a(n, pool):
    return {
        "branch1x1": (n, 64, (1, 1)),
        "branch5x5_1": (n, 48, (1, 1)),
        "branch5x5_2": (48, 64, (5, 5)),
        "branch3x3dbl_1": (n, 64, (1, 1)),
        "branch3x3dbl_2": (64, 96, (3, 3)),
        "branch3x3dbl_3": (96, 96, (3, 3)),
        "branch_pool": (n, pool, (1, 1)),
    }


def _block_c(c):
    return {
        "branch1x1": (768, 192, (1, 1)),
        "branch7x7_1": (768, c, (1, 1)),
        "branch7x7_2": (c, c, (1, 7)),
        "branch7x7_3": (c, 192, (7, 1)),
        "branch7x7dbl_1": (768, c, (1, 1)),
        "branch7x7dbl_2": (c, c, (7, 1)),
        "branch7x7dbl_3": (c, c, (1, 7)),
        "branch7x7dbl_4": (c, c, (7, 1)),
        "branch7x7dbl_5": (c, 192, (1, 7)),
        "branch_pool": (768, 192, (1, 1)),
    }


def _block_e(n):
    return {
        "branch1x1": (n, 320, (1, 1)),
        "branch3x3_1": (n, 384, (1, 1)),
        "branch3x3_2a": (384, 384, (1, 3)),
        "branch3x3_2b": (384, 384, (3, 1)),
        "branch3x3dbl_1": (n, 448, (1, 1)),
        "branch3x3dbl_2": (448, 384, (3, 3)),
        "branch3x3dbl_3a": (384, 384, (1, 3)),
        "branch3x3dbl_3b": (384, 384, (3, 1)),
        "branch_pool": (n, 192, (1, 1)),
    }


BLOCKS = {
    "5b": _block_a(192, 32),
    "5c": _block_a(256, 64),
    "5d": _block_a(288, 64),
    "6a": {
        "branch3x3": (288, 384, (3, 3)),
        "branch3x3dbl_1": (288, 64, (1, 1)),
        "branch3x3dbl_2": (64, 96, (3, 3)),
        "branch3x3dbl_3": (96, 96, (3, 3)),
    },
    "6b": _block_c(128),
    "6c": _block_c(160),
    "6d": _block_c(160),
    "6e": _block_c(192),
    "7a": {
        "branch3x3_1": (768, 192, (1, 1)),
        "branch3x3_2": (192, 320, (3, 3)),
        "branch7x7x3_1": (768, 192, (1, 1)),
        "branch7x7x3_2": (192, 192, (1, 7)),
        "branch7x7x3_3": (192, 192, (7, 1)),
        "branch7x7x3_4": (192, 192, (3, 3)),
    },
    "7b": _block_e(1280),
    "7c": _block_e(2048),
}
LAYERS = STEM | {f"Mixed_{b}.{n}": shape for b, rows in BLOCKS.items() for n, shape in rows.items()}


def random_state():
    """A state dict as torch-fidelity publishes it, with activations of ordinary size."""
    g = torch.Generator().manual_seed(7)
    state = {}
    for name, (inputs, outputs, kernel) in LAYERS.items():
        fan = inputs * kernel[0] * kernel[1]
        state[f"{name}.conv.weight"] = (
            torch.randn((outputs, inputs, *kernel), generator=g) * (2 / fan) ** 0.5
        )
        # the published batch norms have no scale of their own
        state[f"{name}.bn.weight"] = torch.ones(outputs)
        state[f"{name}.bn.bias"] = torch.randn(outputs, generator=g) * 0.1
        state[f"{name}.bn.running_mean"] = torch.randn(outputs, generator=g) * 0.1
        state[f"{name}.bn.running_var"] = torch.rand(outputs, generator=g) + 0.5
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(0)
    state["fc.weight"] = torch.randn((1008, 2048), generator=g) * 0.02
    state["fc.bias"] = torch.randn(1008, generator=g)
    return state


@pytest.fixture(scope="session")
def inception_state():
    return random_state()


@pytest.fixture(scope="session")
def inception_pth(inception_state, tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "weights-inception.pth"
    torch.save(inception_state, path)
    return path


@pytest.fixture(scope="session")
def inception_script(inception_state, tmp_path_factory):
    """The same weights as the TorchScript file that clean-fid loads, under TensorFlow's names."""
    path = tmp_path_factory.mktemp("script") / "inception-2015-12-05.pt"
    torch.jit.script(Scripted(inception_state)).save(str(path))
    return path


@pytest.fixture(scope="session")
def noise_images():
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (4, 6, 8, 3))
    fine = rng.integers(-40, 40, (4, 48, 64, 3))
    return np.clip(coarse.repeat(8, 1).repeat(8, 2) + fine, 0, 255).astype(np.uint8)


class Layer(nn.Module):
    def __init__(self, state, name, stride=1, padding=(0, 0)):
        super().__init__()
        self.weight = nn.Parameter(state[f"{name}.conv.weight"])
        self.beta = nn.Parameter(state[f"{name}.bn.bias"])
        self.register_buffer("mean", state[f"{name}.bn.running_mean"])
        self.register_buffer("var", state[f"{name}.bn.running_var"])
        self.stride: int = stride
        self.padding: list[int] = list(padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pad = [self.padding[0], self.padding[1]]
        x = torch.conv2d(x, self.weight, None, [self.stride, self.stride], pad)
        x = torch.batch_norm(x, None, self.beta, self.mean, self.var, False, 0.1, 0.001, False)
        return torch.relu(x)


class Fork(nn.Module):
    def __init__(self, one, two):
        super().__init__()
        self.conv, self.conv_1 = one, two

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.conv(x), self.conv_1(x)], 1)


class Branches(nn.Module):
    def __init__(self, branches):
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)
        self.names = list(branches)


class Four(Branches):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.conv(x), self.tower(x), self.tower_1(x), self.tower_2(x)], 1)


class B(Branches):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.conv(x), self.tower(x), self.pool(x)], 1)


class D(Branches):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.tower(x), self.tower_1(x), self.pool(x)], 1)


class Scripted(nn.Module):
    def __init__(self, state):
        super().__init__()
        layers = nn.Sequential()
        for name, theirs in _STEM.items():
            stride = 2 if name == "Conv2d_1a_3x3" else 1
            pad = (1, 1) if name == "Conv2d_2b_3x3" else (0, 0)
            layers.add_module(theirs, Layer(state, name, stride, pad))
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                layers.add_module(f"pool_{theirs}", nn.MaxPool2d(3, 2))
        for block, theirs in _BLOCKS.items():
            layers.add_module(theirs, scripted_block(state, block))
        layers.add_module("pool2", nn.AvgPool2d(8))
        self.layers = layers
        self.output = nn.Linear(2048, 1008)
        self.output.load_state_dict({"weight": state["fc.weight"], "bias": state["fc.bias"]})
        self.eval()

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return self.layers(x)


def scripted_block(state, block):
    kind = block[-2:]
    towers: dict[str, nn.Module] = {}
    strided = {"6a": ("branch3x3", "branch3x3dbl_3"), "7a": ("branch3x3_2", "branch7x7x3_4")}
    for ours, theirs in _KINDS[kind].items():
        kernel = state[f"{block}.{ours}.conv.weight"].shape[2:]
        down = ours in strided.get(kind, ())
        pad = (0, 0) if down else (kernel[0] // 2, kernel[1] // 2)
        layer = Layer(state, f"{block}.{ours}", 2 if down else 1, pad)
        branch, *rest = theirs.split(".")
        if not rest:
            towers[branch] = layer
            continue
        tower = towers.setdefault(branch, nn.Sequential())
        if rest[0] == "mixed":
            if rest[1] == "conv":
                held = layer
            else:
                tower.add_module("mixed", Fork(held, layer))
        else:
            if branch == "tower_2":
                pool = (
                    nn.MaxPool2d(3, 1, 1) if kind == "7c" else nn.AvgPool2d(3, 1, 1, False, False)
                )
                tower.add_module("pool", pool)
            tower.add_module(rest[0], layer)
    if kind in strided:
        towers["pool"] = nn.MaxPool2d(3, 2)
    return {"6a": B, "7a": D}.get(kind, Four)(towers)
