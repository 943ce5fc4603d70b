"""Weights that a training starts from: those of another model, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ldmbench.errors import InputError
from ldmbench.models.denoiser import Denoiser
from ldmbench.models.model import Model

__all__ = ["start_weights"]

SIZES = ("base", "dropout", "in_channels", "sample_size")
"""Entries of a network's config in which source and training may differ; base repeats others."""


def start_weights(model: Denoiser, source: Model) -> dict[str, Tensor]:
    """Return the weights of a source under the names of a denoiser that is to be trained.

    Channels that join the input of the denoiser, and that the source has not, start at zero: at
    first the denoiser computes what the source computes.

    Args:
        model: the denoiser, whose weights stay as they are.
        source: trained here or loaded; its averaged weights where it has them.

    Returns:
        A tensor for each of the denoiser's parameters, float32 on the CPU.

    Raises:
        InputError: a tensor is missing, of another shape, or has no place in the denoiser; or the
            configs of both networks differ.
    """
    title = source.info.path.name or source.info.source
    _check_config(model.network, source.network, title)
    theirs = _named(source.network, f"{model.kind.part}.")
    for part in source.condition.parts().values():
        theirs |= _named(part, "conditioner.")
    own = dict(model.named_parameters())
    strange = [name for name in theirs if name not in own]
    missing = [name for name in own if name not in theirs]
    if strange or missing:
        name, side = (strange[0], "not") if strange else (missing[0], "only")
        raise InputError(
            f"init: {title} does not fit: {name} is {side} a tensor of the network that is to be"
            f" trained ({len(strange)} of its tensors have no place, {len(missing)} are missing);"
            " start from a model with the same network and conditioning"
        )
    first = f"{model.kind.part}.{_first_layer(model.network)}.weight"
    return {name: _fitted(name, p, theirs[name], title, first) for name, p in own.items()}


def _named(module: Any, prefix: str) -> dict[str, Tensor]:
    return {prefix + name: p for name, p in module.named_parameters()}


def _first_layer(network: nn.Module) -> str:
    """Return the name of the layer that reads the network's input."""
    return next(str(n) for n, m in network.named_modules() if isinstance(m, nn.Conv2d))


def _fitted(name: str, own: Tensor, theirs: Tensor, title: str, first: str) -> Tensor:
    value = theirs.detach().to("cpu", torch.float32).clone()
    if name == first and value.ndim == own.ndim and value.shape[1] < own.shape[1]:
        grown = torch.zeros(own.shape)
        grown[:, : value.shape[1]] = value
        value = grown
    if value.shape != own.shape:
        raise InputError(
            f"init: {title} does not fit: {name} has the shape {list(theirs.shape)} there, and"
            f" {list(own.shape)} in the network that is to be trained; start from a model with the"
            " same network, latents and classes"
        )
    return value


def _check_config(own: object, theirs: object, title: str) -> None:
    """Refuse a network that computes otherwise, though its tensors may have the same shapes."""
    configs: list[Mapping[str, Any]] = [getattr(n, "config", {}) for n in (own, theirs)]
    if type(own) is not type(theirs):
        raise InputError(
            f"init: {title} does not fit: its network is a {type(theirs).__name__}, and a"
            f" {type(own).__name__} is to be trained; start from a model with the same network and"
            " conditioning"
        )
    for name in configs[0]:
        if name.startswith("_") or name in SIZES:
            continue
        here, there = (_plain(config.get(name)) for config in configs)
        if here != there:
            raise InputError(
                f"init: {title} does not fit: its network has {name} {there}, and {here} is to be"
                " trained; start from a model with the same network"
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
