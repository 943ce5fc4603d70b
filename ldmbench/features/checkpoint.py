"""Weights of evaluators, read without executing anything, and put into networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ldmbench.errors import InputError
from ldmbench.tensors.entries import open_weights
from ldmbench.tensors.read import fetch

__all__ = ["assign", "check_shapes", "fill", "read_tensors"]

_DERIVED = ("num_batches_tracked", "attn_mask")


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file or of a `torch.save`d state dict, as float32.

    Raises:
        InputError: if the file is damaged or holds no tensors.
    """
    try:
        return fetch(path, open_weights(path).slots)
    except InputError as error:
        raise InputError(f"{error}; fetch or import it again") from error


def fill(network: nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Copy tensors into a network, as its own dtype; every parameter must be there and fit.

    Raises:
        InputError: if names or shapes differ; the message has the first of them.
    """
    check_shapes(network, {name: tuple(t.shape) for name, t in tensors.items()}, path)
    for name, target in _wanted(network).items():
        target.copy_(tensors[name])


def assign(network: nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Put tensors into a network that was built on the device meta; nothing is copied.

    Raises:
        InputError: if names or shapes differ; the message has the first of them.
    """
    check_shapes(network, {name: tuple(t.shape) for name, t in tensors.items()}, path)
    network.load_state_dict({n: tensors[n] for n in _wanted(network)}, strict=False, assign=True)


def check_shapes(network: nn.Module, given: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Refuse a file that does not hold exactly the tensors of a network.

    Args:
        network: may lie on the device meta.
        given: name -> shape, of the file.
        path: the file, for messages.

    Raises:
        InputError: if names or shapes differ; the message has the first of them.
    """
    wanted = _wanted(network)
    given = {k: v for k, v in given.items() if not k.endswith(_DERIVED)}
    for name in sorted(wanted.keys() ^ given.keys()):
        state = "no" if name in wanted else "an unexpected"
        raise InputError(f"{path} has {state} tensor {name}; these are weights of another network")
    for name, target in wanted.items():
        if given[name] != tuple(target.shape):
            raise InputError(
                f"{path} has {name} of shape {given[name]}, expected "
                f"{tuple(target.shape)}; these are weights of another network"
            )


def _wanted(network: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v for k, v in network.state_dict().items() if not k.endswith(_DERIVED)}
