"""Checkpoints: one safetensors file, replaced atomically, from which training resumes bit for bit.

A step's randomness is derived from (train_seed, step), so no generator state is kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ldmbench.canonical import canonical_json

__all__ = [
    "module_tensors",
    "optimizer_tensors",
    "read_checkpoint",
    "restore_module",
    "restore_optimizer",
    "write_checkpoint",
]

FILE = "checkpoint.safetensors"


def write_checkpoint(folder: Path, tensors: Mapping[str, Tensor], facts: dict[str, Any]) -> None:
    """Write tensors and facts; a kill leaves the previous checkpoint whole."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{FILE}.tmp"
    host = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    save_file(host, fresh, metadata={"facts": canonical_json(facts)})
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.replace(folder / FILE)


def read_checkpoint(folder: Path, recipe: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return tensors (CPU) and facts; None if there is none, it is damaged, or of another recipe.

    Args:
        folder: where `write_checkpoint` wrote.
        recipe: what facts["recipe"] must be: a digest of what is trained.
    """
    try:
        with safe_open(folder / FILE, framework="pt") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {})["facts"])
            if facts.get("recipe") != recipe:
                return None
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except Exception:  # whatever is wrong with the file, training starts afresh
        return None


def module_tensors(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Return a module's parameters and buffers under prefixed names."""
    return {f"{prefix}.{name}": t for name, t in module.state_dict().items()}


@torch.no_grad()
def restore_module(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Copy values into a module's own memory."""
    for name, t in module.state_dict().items():
        t.copy_(tensors[f"{prefix}.{name}"])


def optimizer_tensors(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """Return an optimiser's state under prefixed names; empty before its first step."""
    state = optimizer.state_dict()["state"]
    return {f"{prefix}.{i}.{key}": t for i, row in state.items() for key, t in row.items()}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], prefix: str
) -> None:
    """Put back what `optimizer_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, t in tensors.items():
        if name.startswith(f"{prefix}."):
            index, key = name.removeprefix(f"{prefix}.").split(".", 1)
            # a copy: memory from a file may be aligned otherwise than an undisturbed run's
            state.setdefault(int(index), {})[key] = t.clone()
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
