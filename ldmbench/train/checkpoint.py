"""Checkpoints: safetensors files, replaced atomically, from which training resumes bit for bit.

A step's randomness is derived from (train_seed, step), so no generator state is kept. Each file
holds a digest of itself, and the one before is kept: one that is damaged is set aside, and said.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ldmbench.canonical import canonical_json, digest, digest_bytes

__all__ = [
    "Found",
    "module_tensors",
    "optimizer_tensors",
    "read_checkpoint",
    "restore_module",
    "restore_optimizer",
    "write_checkpoint",
]

LOG = logging.getLogger("ldmbench")
FILE, BEFORE = "checkpoint.safetensors", "checkpoint-before.safetensors"

Found = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors on the CPU, and facts."""


def write_checkpoint(folder: Path, tensors: Mapping[str, Tensor], facts: dict[str, object]) -> None:
    """Write tensors and facts, and keep the checkpoint before; a kill leaves that one whole."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{FILE}.tmp"
    host = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    text = canonical_json(facts)
    save_file(host, fresh, metadata={"facts": text, "digest": _digest(host, text)})
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    if (folder / FILE).is_file():
        (folder / FILE).replace(folder / BEFORE)
    fresh.replace(folder / FILE)


def read_checkpoint(
    folder: Path, recipe: str, *, check: Callable[[Found], str | None] = lambda found: None
) -> Found | None:
    """Return the last checkpoint that can be gone on from; None if there is none.

    One that is damaged is set aside, and what that loses is logged; then the one before counts.

    Args:
        folder: where `write_checkpoint` wrote.
        recipe: what facts["recipe"] must be: a digest of what is trained.
        check: says what else is wrong with a checkpoint, or None.
    """
    problems: list[str] = []
    for name in (FILE, BEFORE):
        path = folder / name
        if not os.path.lexists(path):
            continue
        found, why = _read(path)
        if found and found[1].get("recipe") != recipe:
            LOG.warning("%s: a checkpoint of another training is left; it begins anew", path)
            return None
        why = why or (check(found) if found else None)
        if found and why is None:
            if problems:
                LOG.warning("%s; training goes on from the checkpoint before", "; ".join(problems))
            return found
        problems.append(f"{path}: is damaged ({why}); set aside in {_set_aside(path)}")
    if problems:
        LOG.warning("%s; its training so far is lost, it begins anew", "; ".join(problems))
    return None


def _read(path: Path) -> tuple[Found | None, str | None]:
    """Return what a file holds, or what is wrong with it."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {})["facts"]
            facts, known = json.loads(text), (file.metadata() or {}).get("digest")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not isinstance(facts, dict) or known != _digest(tensors, text):
            return None, "it does not have the digest it was written with"
    except Exception as error:  # whatever is wrong with the file, training goes on without it
        return None, " ".join(str(error).split())[:200] or type(error).__name__
    return (tensors, facts), None


def _digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    """Return a digest of all that a checkpoint holds."""
    data = {name: t.reshape(-1).view(torch.uint8).numpy().data for name, t in tensors.items()}
    parts = {
        name: [str(t.dtype), list(t.shape), digest_bytes(data[name])] for name, t in tensors.items()
    }
    return digest([parts, facts])


def _set_aside(path: Path) -> Path:
    """Move a damaged checkpoint out of the way; the store keeps it when the training is done."""
    target = path.with_name(f"{path.name}.damaged")
    if target.is_file():
        target.unlink()
    with contextlib.suppress(OSError):
        path.rename(target)
    return target


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
