"""float32 means float32: the flags of torch that decide how products and convolutions round."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["autocast", "layout_of", "numerics", "tf32"]


def numerics() -> dict[str, object]:
    """Let this process compute float32 in float32, and convolutions in one fixed way.

    On a GPU torch computes float32 convolutions in TensorFloat-32 (10 bits of mantissa) unless it
    is set otherwise, and any code can change these flags for the whole process. Call this again
    after foreign code ran.

    Returns:
        What now holds, as manifests state it: tf32 and deterministic_convolutions.
    """
    _allow_tf32(False)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return {"tf32": False, "deterministic_convolutions": True}


def autocast(precision: str, device: str | torch.device) -> torch.autocast:
    """Return the context that computes in bfloat16 if that is the precision that a suite names.

    Products and convolutions are in bfloat16; norms, softmax and losses stay float32.
    """
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def layout_of(precision: str, *, compiles: bool = False) -> torch.memory_format:
    """Return how images and maps lie in memory in training: channels last where that is faster.

    Convolutions in reduced precision are made for it, and a compiled network permutes nothing
    between them; in other networks in float32 the permutations cost what the convolutions win.
    """
    plain = precision == "float32" and not compiles
    return torch.contiguous_format if plain else torch.channels_last


@contextmanager
def tf32(precision: str) -> Iterator[None]:
    """Compute float32 in TensorFloat-32 for a while if that is the precision that a suite names.

    Only NVIDIA GPUs of compute capability 8.0 and above have it.
    """
    if precision != "tf32":
        yield
        return
    _allow_tf32(True)
    try:
        yield
    finally:
        _allow_tf32(False)


def _allow_tf32(allowed: bool) -> None:
    """Let products and convolutions of float32 round to TensorFloat-32, or not.

    torch has two sets of switches and, once the new one is used, refuses to read the old one where
    they differ. So both are set, the old one first.
    """
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
    for place in _places():
        place.fp32_precision = "tf32" if allowed else "ieee"


def _places() -> list[Any]:
    """Return what has a switch for the precision of float32; older versions of torch have none."""
    backends: Any = torch.backends
    places = [backends, backends.cuda.matmul]
    for library in (backends.cudnn, backends.mkldnn):
        parts = (getattr(library, name, None) for name in ("conv", "rnn", "matmul"))
        places += [library, *parts]
    return [place for place in places if hasattr(place, "fp32_precision")]
