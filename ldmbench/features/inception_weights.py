"""Inception weights as torch-fidelity names them, of its own file or of clean-fid's."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import TypeAlias

import torch

from ldmbench.errors import InputError
from ldmbench.features.checkpoint import read_tensors
from ldmbench.words import first_line

__all__ = ["read_inception"]

Tensors: TypeAlias = dict[str, torch.Tensor]

# fmt: off
# block of torch-fidelity -> block of the TorchScript file, which keeps TensorFlow's names
_STEM = {
    "Conv2d_1a_3x3": "conv",   "Conv2d_2a_3x3": "conv_1", "Conv2d_2b_3x3": "conv_2",
    "Conv2d_3b_1x1": "conv_3", "Conv2d_4a_3x3": "conv_4",
}
_BLOCKS = {
    "Mixed_5b": "mixed",   "Mixed_5c": "mixed_1", "Mixed_5d": "mixed_2",  "Mixed_6a": "mixed_3",
    "Mixed_6b": "mixed_4", "Mixed_6c": "mixed_5", "Mixed_6d": "mixed_6",  "Mixed_6e": "mixed_7",
    "Mixed_7a": "mixed_8", "Mixed_7b": "mixed_9", "Mixed_7c": "mixed_10",
}
_A = {"branch1x1": "conv", "branch5x5_1": "tower.conv", "branch5x5_2": "tower.conv_1",
      "branch3x3dbl_1": "tower_1.conv", "branch3x3dbl_2": "tower_1.conv_1",
      "branch3x3dbl_3": "tower_1.conv_2", "branch_pool": "tower_2.conv"}
_B = {"branch3x3": "conv", "branch3x3dbl_1": "tower.conv", "branch3x3dbl_2": "tower.conv_1",
      "branch3x3dbl_3": "tower.conv_2"}
_C = {"branch1x1": "conv", "branch7x7_1": "tower.conv", "branch7x7_2": "tower.conv_1",
      "branch7x7_3": "tower.conv_2", "branch7x7dbl_1": "tower_1.conv",
      "branch7x7dbl_2": "tower_1.conv_1", "branch7x7dbl_3": "tower_1.conv_2",
      "branch7x7dbl_4": "tower_1.conv_3", "branch7x7dbl_5": "tower_1.conv_4",
      "branch_pool": "tower_2.conv"}
_D = {"branch3x3_1": "tower.conv", "branch3x3_2": "tower.conv_1", "branch7x7x3_1": "tower_1.conv",
      "branch7x7x3_2": "tower_1.conv_1", "branch7x7x3_3": "tower_1.conv_2",
      "branch7x7x3_4": "tower_1.conv_3"}
_E = {"branch1x1": "conv", "branch3x3_1": "tower.conv", "branch3x3_2a": "tower.mixed.conv",
      "branch3x3_2b": "tower.mixed.conv_1", "branch3x3dbl_1": "tower_1.conv",
      "branch3x3dbl_2": "tower_1.conv_1", "branch3x3dbl_3a": "tower_1.mixed.conv",
      "branch3x3dbl_3b": "tower_1.mixed.conv_1", "branch_pool": "tower_2.conv"}
_KINDS = {"5b": _A, "5c": _A, "5d": _A, "6a": _B, "6b": _C, "6c": _C, "6d": _C, "6e": _C,
          "7a": _D, "7b": _E, "7c": _E}
# fmt: on


def read_inception(path: Path) -> Tensors:
    """Read the weights; no code of the file is run.

    Args:
        path: torch-fidelity's `weights-inception-2015-12-05-6726825d.pth` (a state dict), or
            clean-fid's `inception-2015-12-05.pt` (TorchScript; only its tensors are taken).

    Returns:
        the state dict of torch-fidelity's FeatureExtractorInceptionV3, float32.

    Raises:
        InputError: if the file is damaged, or is a TorchScript file with other layers.
    """
    try:
        tensors, scripted = _read(path)
    except (
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        zipfile.BadZipFile,
    ) as error:
        raise InputError(
            f"{path} is no file of Inception weights ({first_line(error)}); give the one "
            "that torch-fidelity or clean-fid loads"
        ) from error
    if not scripted:
        return tensors
    layers = {f"fc.{part}": _output(tensors, part, path) for part in ("weight", "bias")}
    for ours, theirs in _script_names():
        layers |= {f"{ours}.{part}": v for part, v in _scripted(tensors, theirs, path).items()}
    return layers


def _read(path: Path) -> tuple[Tensors, bool]:
    """Return the tensors of a file, and whether they came from TorchScript."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            scripted = any("/code/" in name for name in archive.namelist())
        if scripted:
            module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
            return dict(module.state_dict()), True
    return read_tensors(path), False


def _script_names() -> list[tuple[str, str]]:
    names = list(_STEM.items())
    for block, theirs in _BLOCKS.items():
        names += [(f"{block}.{k}", f"{theirs}.{v}") for k, v in _KINDS[block[-2:]].items()]
    return names


def _scripted(tensors: Tensors, name: str, path: Path) -> Tensors:
    """Find a layer by shape and name; parts of a name may be joined by _ or by a dot."""
    prefix = r"layers\." + re.sub(r"[._]", r"[._]", name) + r"\."
    found = {k: v for k, v in tensors.items() if re.match(prefix + r"(conv\.|bn\.|norm\.)?\w+$", k)}
    kernels = [v for v in found.values() if v.ndim == 4]
    rows = {k.rsplit(".", 1)[1]: v for k, v in found.items() if v.ndim == 1}
    if len(kernels) != 1:
        raise InputError(f"{path} has {len(kernels)} kernels named {name}, expected 1")
    mean = _ending(rows, "mean", name, path)
    return {
        "conv.weight": kernels[0],
        "bn.weight": next(
            (v for k, v in rows.items() if k in ("gamma", "weight")), torch.ones_like(mean)
        ),
        "bn.bias": _ending(rows, "beta|bias", name, path),
        "bn.running_mean": mean,
        "bn.running_var": _ending(rows, "var", name, path),
    }


def _ending(rows: Tensors, pattern: str, name: str, path: Path) -> torch.Tensor:
    found = [v for k, v in rows.items() if re.search(f"({pattern})$", k)]
    if len(found) != 1:
        raise InputError(f"{path} has {len(found)} rows {pattern} in layer {name}, expected 1")
    return found[0]


def _output(tensors: Tensors, part: str, path: Path) -> torch.Tensor:
    if f"output.{part}" not in tensors:
        raise InputError(f"{path} has no tensor output.{part}; give weights that clean-fid loads")
    return tensors[f"output.{part}"]
