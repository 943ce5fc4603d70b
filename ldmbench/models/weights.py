"""Weights from files, put into networks without a second copy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ldmbench.errors import InputError
from ldmbench.tensors.entries import open_weights
from ldmbench.tensors.read import fetch

__all__ = ["Source", "Tensors", "fill", "read_weights", "select"]

Tensors = dict[str, torch.Tensor]


def read_weights(path: Path, *, ema: bool = True) -> Tensors:
    """Read the weights of a file into memory of torch's own; nothing of it is run.

    Args:
        path: .safetensors, or what `torch.save` wrote.
        ema: take the averaged weights where the file has both.

    Returns:
        name -> tensor on the CPU, half precision as float32.

    Raises:
        InputError: no such file, damaged, or a pickle that names a function or a module that
            could act; the message has the name.
    """
    held = open_weights(path, ema=ema)
    return fetch(path, held.slots)


def select(tensors: Mapping[str, torch.Tensor], prefix: str) -> Tensors:
    """Return the tensors under `prefix`, with the prefix taken off."""
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


@dataclass(frozen=True)
class Source:
    """Where a module's parameters come from.

    Attributes:
        name: the module's name in the checkpoint, without .weight or .bias.
        part: 0, 1 or 2 for the query, key or value rows of a joint projection; else None.
        heads: number of heads of that projection, if its rows are grouped head by head.
    """

    name: str
    part: int | None = None
    heads: int = 1


def fill(
    network: nn.Module,
    tensors: Mapping[str, torch.Tensor],
    sources: Mapping[str, Source],
    *,
    where: str,
    ignore: Callable[[str], bool] = lambda name: False,
) -> None:
    """Put checkpoint tensors into a network built on the meta device, as float32.

    Args:
        network: on the meta device; gets the tensors themselves.
        tensors: the checkpoint's part for this network.
        sources: module name in the network -> where it comes from; longest name first wins.
        where: said in messages.
        ignore: which checkpoint keys need not be used.

    Raises:
        InputError: keys are missing or left over, or shapes differ from what the config says.
    """
    found: Tensors = {}
    used: set[str] = set()
    missing: list[str] = []
    wrong: list[str] = []
    for name, wanted in network.state_dict().items():
        source, suffix = _source_of(name, sources)
        key = f"{source.name}{suffix}"
        if key not in tensors:
            missing.append(key)
            continue
        used.add(key)
        value = _take(tensors[key], source, wanted.shape)
        if wanted.is_floating_point() and not tensors[key].is_floating_point():
            wrong.append(f"{key} is {tensors[key].dtype}")
        elif value is None:
            wrong.append(f"{key} is {tuple(tensors[key].shape)}, not {tuple(wanted.shape)}")
        else:
            found[name] = _own(value.to(wanted.dtype))
    extra = [key for key in tensors if key not in used and not ignore(key)]
    _refuse(where, missing=missing, extra=extra, wrong=wrong)
    network.load_state_dict(found, strict=True, assign=True)


def _own(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor at the start of its own memory, as that of another file would lie."""
    own = value.is_contiguous() and value.untyped_storage().nbytes() == value.nbytes
    return value if own else value.clone(memory_format=torch.contiguous_format)


def _refuse(where: str, *, missing: list[str], extra: list[str], wrong: list[str]) -> None:
    if not (missing or extra or wrong):
        return
    parts = []
    for name, wanted in (
        ("missing", missing),
        ("not asked for", extra),
        ("of another shape or type", wrong),
    ):
        keys = [*dict.fromkeys(wanted)]  # a joint projection is asked for three times
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            parts.append(f"{len(keys)} {name} ({', '.join(keys[:3])}{more})")
    raise InputError(
        f"{where}: the weights do not fit the config: {'; '.join(parts)}; "
        f"{_misfit(bool(missing), bool(extra), bool(wrong))}"
    )


def _misfit(missing: bool, extra: bool, wrong: bool) -> str:
    """Say what weights and config that do not fit together are of, and where to look."""
    if missing and extra:
        return "file and config are of two architectures, or the file names its tensors differently"
    if wrong:
        return "the network in the file has other sizes: compare those named with the config"
    if missing:
        return "the file holds a part of the network: look for the file with the rest of it"
    return "the file holds more than the network that the config describes"


def _source_of(name: str, sources: Mapping[str, Source]) -> tuple[Source, str]:
    head = name
    while head:
        if head in sources:
            return sources[head], name[len(head) :]
        head = head.rpartition(".")[0]
    return Source(name), ""


def _take(tensor: torch.Tensor, source: Source, shape: torch.Size) -> torch.Tensor | None:
    """Return the tensor in the wanted shape (1x1 convolutions become linear), or None."""
    if source.part is not None:
        if tensor.shape[0] % (3 * source.heads):
            return None
        rows = tensor.reshape(source.heads, 3, -1, *tensor.shape[1:])
        tensor = rows[:, source.part].reshape(-1, *tensor.shape[1:])
    if tensor.shape == shape:
        return tensor
    if _without_ones(tensor.shape) == _without_ones(shape):
        return tensor.reshape(shape)
    return None


def _without_ones(shape: Iterable[int]) -> tuple[int, ...]:
    sizes = list(shape)
    while len(sizes) > 1 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)
