"""Files of tensors, read without executing anything, and put into networks."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ldmbench.errors import InputError

__all__ = ["fill", "read_tensors"]

_DERIVED = ("num_batches_tracked", "attn_mask")


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file or of a `torch.save`d state dict.

    Raises:
        InputError: if the file is damaged or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            loaded: object = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        zipfile.BadZipFile,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} cannot be read as weights ({reason}); fetch or import it again"
        ) from error
    if not isinstance(loaded, dict):
        raise InputError(f"{path} holds a {type(loaded).__name__}, expected a dict of tensors")
    return {k: v for k, v in loaded.items() if isinstance(v, torch.Tensor)}


def fill(network: nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Copy tensors into a network, as its own dtype; every parameter must be there and fit.

    Raises:
        InputError: if names or shapes differ; the message has the first of them.
    """
    wanted = {k: v for k, v in network.state_dict().items() if not k.endswith(_DERIVED)}
    given = {k: v for k, v in tensors.items() if not k.endswith(_DERIVED)}
    for name in sorted(wanted.keys() ^ given.keys()):
        state = "no" if name in wanted else "an unexpected"
        raise InputError(f"{path} has {state} tensor {name}; these are weights of another network")
    for name, target in wanted.items():
        if given[name].shape != target.shape:
            raise InputError(
                f"{path} has {name} of shape {tuple(given[name].shape)}, expected "
                f"{tuple(target.shape)}; these are weights of another network"
            )
        target.copy_(given[name])
