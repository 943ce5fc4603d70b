"""The state in which a training ends, and the longer training that goes on from it.

The longer one ends in the bytes of a training that was never stopped. So its curve is drawn anew:
windows of the curve are shares of the budget, and need the loss of every step.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ldmbench.train.checkpoint import Found, read_checkpoint, write_checkpoint
from ldmbench.train.limit import Limit

__all__ = ["TRACE", "States", "Trace", "Window", "step_of"]

LOG = logging.getLogger("ldmbench")
TRACE = "loop.trace"
"""Name of a trace among the tensors of a checkpoint."""


class Window(NamedTuple):
    """The end of a window of a curve: mean loss, and what its last step showed."""

    step: int
    loss: float
    rate: float
    norm: float
    seconds: float


class Trace:
    """Loss, gradient norm, rate and time of every step: (N, 4) float64.

    Losses and norms stay on the device until a checkpoint is written: no step waits for them.
    """

    def __init__(self, device: torch.device) -> None:
        self._drawn = torch.zeros((1024, 2), device=device)
        self._said: list[tuple[float, float]] = []

    def add(self, loss: Tensor, norm: Tensor, *, rate: float, seconds: float) -> None:
        """Take in one more step: its loss and gradient norm (scalars), rate, seconds so far."""
        n = len(self._said)
        if n == len(self._drawn):
            self._drawn = torch.cat([self._drawn, torch.zeros_like(self._drawn)])
        self._drawn[n, 0], self._drawn[n, 1] = loss, norm
        self._said.append((rate, seconds))

    def tensors(self) -> dict[str, Tensor]:
        """Return it as a tensor of a checkpoint."""
        said = torch.tensor(self._said, dtype=torch.float64).reshape(-1, 2)
        return {TRACE: torch.cat([self._drawn[: len(said)].double().cpu(), said], 1)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` returned."""
        found = tensors[TRACE]
        room = torch.zeros((max(1024, 2 * len(found)), 2), device=self._drawn.device)
        room[: len(found)] = found[:, :2].to(room)
        self._drawn = room
        self._said = [(float(rate), float(seconds)) for rate, seconds in found[:, 2:]]

    def windows(self, limit: Limit, points: int) -> Iterator[Window]:
        """Yield the windows of a curve that are full.

        Sums are those of float32, in the order of the steps, as a running training adds.

        Args:
            limit: of the training whose curve it is.
            points: windows in the whole curve.
        """
        rows: npt.NDArray[np.float64] = self.tensors()[TRACE].numpy()
        total, window = np.float32(0), 0
        for n, (loss, norm, rate, seconds) in enumerate(rows):
            total, window = np.float32(total + np.float32(loss)), window + 1
            before, after = limit.fraction(n, 0.0), limit.fraction(n + 1, 0.0)
            if int(after * points) > int(before * points):
                yield Window(n + 1, float(total) / window, float(rate), float(norm), float(seconds))
                total, window = np.float32(0), 0

    def rest(self, limit: Limit, points: int) -> tuple[float, int]:
        """Return the sum of losses of the window that is not full yet, and its steps."""
        ended = [window.step for window in self.windows(limit, points)]
        losses = self.tensors()[TRACE][(ended[-1] if ended else 0) :, 0].numpy()
        total = np.float32(0)
        for loss in losses:
            total = np.float32(total + np.float32(loss))
        return float(total), len(losses)


def step_of(share: float, limit: Limit) -> int:
    """Return the first step after which at least a share of the budget is spent."""
    assert limit.steps is not None
    step = max(0, math.floor(share * limit.steps) - 1)
    while limit.fraction(step, 0.0) < share:
        step += 1
    return step


def _last_usable(limit: Limit, checkpoints: Sequence[float]) -> int:
    """Return the largest number of steps from which a training can go on.

    Weights that are to be kept on the way must lie ahead, or just there.
    """
    assert limit.steps is not None
    return min([limit.steps, *(step_of(share, limit) for share in checkpoints if share < 1)])


class States:
    """The states of one training at the ends of its budgets so far.

    Attributes:
        trace: of this training; None where its first steps left none.
    """

    def __init__(
        self, folder: Path, limit: Limit, checkpoints: Sequence[float], device: torch.device
    ) -> None:
        self._folder, self._limit, self._checkpoints = folder, limit, checkpoints
        self.trace: Trace | None = Trace(device)

    def find(self, check: Callable[[Found], str | None]) -> Found | None:
        """Return the last state that the training can go on from; None: it begins anew.

        One that is damaged is set aside, and said.

        Args:
            check: says what is wrong with a state, or None.
        """
        most = _last_usable(self._limit, self._checkpoints)
        numbers = [int(path.name) for path in self._folder.iterdir() if path.name.isdecimal()]
        for steps in sorted((n for n in numbers if n <= most), reverse=True):
            found = read_checkpoint(self._place(steps), self._folder.name, check=check)
            if found is not None:
                return found
        return None

    def take(self, tensors: dict[str, Tensor]) -> None:
        """Go on with the trace of a checkpoint, which leaves `tensors`."""
        if TRACE not in tensors:
            LOG.warning(
                "the training goes on from a checkpoint of before keep_state, which has no losses"
                " of single steps; the state at its end is not kept"
            )
            self.trace = None
        elif self.trace is not None:
            self.trace.restore(tensors)
            del tensors[TRACE]

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint has beside the state of the job."""
        return {} if self.trace is None else self.trace.tensors()

    def keep(self, steps: int, tensors: Mapping[str, Tensor], facts: dict[str, object]) -> None:
        """Write the state after the last step."""
        if self.trace is not None:
            facts = facts | {"recipe": self._folder.name}
            write_checkpoint(self._place(steps), {**tensors, **self.trace.tensors()}, facts)

    def _place(self, steps: int) -> Path:
        return self._folder / f"{steps:010d}"
