"""FLOPs of a call, counted by torch as it runs; the only place that counts them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_flops"]


def count_flops(call: Callable[[], object]) -> int:
    """Return the FLOPs of convolutions, matrix products and attention in one call.

    2 per multiply-add. Give it tensors and modules on the meta device to count without computing.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        call()
    return int(counted.get_total_flops())
