"""Processes that train one model together, data parallel: each computes its rows of every batch.

What a step draws depends on the index in the batch alone (`train/draws.py`), and gradients are sums
over rows, so the weights are those of one process up to the order of additions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import Tensor

from ldmbench.errors import StageError

__all__ = ["Crew", "crew_of"]


class Crew:
    """This process among those that train together; alone it does nothing.

    Args:
        accelerator: of accelerate, with its process group; None for a training in one process.
    """

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self._accelerator = accelerator
        self.index: int = accelerator.process_index if accelerator else 0
        self.count: int = accelerator.num_processes if accelerator else 1

    @property
    def is_first(self) -> bool:
        """Tell whether this process writes what all of them made."""
        return self.index == 0

    def rows(self, batch: int) -> slice:
        """Return the rows of a batch that are computed here; sizes differ by 1 at most.

        Examples:
            >>> Crew().rows(5)
            slice(0, 5, None)
        """
        return slice(batch * self.index // self.count, batch * (self.index + 1) // self.count)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes; all go in one message.

        Args:
            tensors: of one device, of the same shapes in every process.
        """
        if self._accelerator is None:
            return
        sizes = [t.numel() for t in tensors]
        flat = torch.cat([t.detach().reshape(-1).float() for t in tensors])
        summed: Tensor = self._accelerator.reduce(flat, reduction="sum")
        for t, part in zip(tensors, torch.split(summed, sizes)):
            t.copy_(part.view_as(t))

    def wait(self) -> None:
        """Wait until every process is here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()

    def agreed(self, number: float) -> float:
        """Return the first process's number."""
        if self._accelerator is None:
            return number
        own = number if self.is_first else 0.0
        found = torch.tensor([own], dtype=torch.float64, device=self._accelerator.device)
        return float(self._accelerator.reduce(found, reduction="sum"))

    def end(self) -> None:
        """Leave the process group, so that this process may join another."""
        if self._accelerator is not None:
            self._accelerator.end_training()


def crew_of(devices: int, device: torch.device) -> Crew:
    """Return the crew of this process; the variables of torch's launcher name the others.

    Args:
        devices: how many processes there must be.
        device: of this one.

    Raises:
        StageError: there are not as many, as where the variables are not set.
    """
    if devices == 1:
        return Crew()
    accelerator = Accelerator(cpu=device.type == "cpu")
    if accelerator.num_processes != devices:
        raise StageError(
            f"{accelerator.num_processes} processes train together instead of {devices}; begin the"
            " training with `ldmbench run --devices`"
        )
    return Crew(accelerator)
