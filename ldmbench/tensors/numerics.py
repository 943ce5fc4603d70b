"""float32 means float32: the flags of torch that decide how products and convolutions round."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["numerics"]


def numerics() -> dict[str, Any]:
    """Let this process compute float32 in float32, and convolutions in one fixed way.

    On a GPU torch computes float32 convolutions in TensorFloat-32 (10 bits of mantissa) unless it
    is told otherwise, and any code can change these flags for the whole process. Call this again
    after foreign code ran.

    Returns:
        What now holds, as manifests state it: tf32 and deterministic_convolutions.
    """
    # torch has two sets of switches and, once the new one is used, refuses to read the old one
    # where they differ. So both are set, the old one first.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    for place in _places():
        place.fp32_precision = "ieee"
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return {"tf32": False, "deterministic_convolutions": True}


def _places() -> list[Any]:
    """Return what has a switch for the precision of float32; older versions of torch have none."""
    backends: Any = torch.backends
    places = [backends, backends.cuda.matmul]
    for library in (backends.cudnn, backends.mkldnn):
        parts = (getattr(library, name, None) for name in ("conv", "rnn", "matmul"))
        places += [library, *parts]
    return [place for place in places if hasattr(place, "fp32_precision")]
