"""The order of training: which images step k sees, from a seed alone."""

from __future__ import annotations

import numpy as np

from ldmbench.data.batch import Ints
from ldmbench.data.counter import permutation
from ldmbench.errors import InputError
from ldmbench.seeds import derive_seed

__all__ = ["BatchOrder", "batch_indices"]


def batch_indices(count: int, *, batch_size: int, seed: int, step: int) -> Ints:
    """Return the images of one training step, int64 (batch_size,), in [0, count).

    Steps read an endless sequence: all images in one order, then all in another, and so on; epoch
    e's order depends on (seed, e) alone. A batch may begin in one epoch and end in the next.

    Raises:
        InputError: if a number is out of range.
    """
    return BatchOrder(count, batch_size=batch_size, seed=seed).at(step)


class BatchOrder:
    """`batch_indices` for many steps: remembers the order of the epoch it was last in.

    Resuming needs no state: any step can be asked for at any time, and from any thread.
    """

    def __init__(self, count: int, *, batch_size: int, seed: int) -> None:
        if count < 1 or batch_size < 1:
            raise InputError(
                f"{count} images in batches of {batch_size} give no batch; both are 1 or more"
            )
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self._known = (-1, np.empty(0, dtype=np.int64))

    def at(self, step: int) -> Ints:
        """Return the images of step `step`, 0 or more; int64 (batch_size,).

        Raises:
            InputError: if `step` is negative.
        """
        if step < 0:
            raise InputError(f"training step {step} is negative; steps start at 0")
        begin = step * self.batch_size
        end = begin + self.batch_size
        epochs = range(begin // self.count, (end - 1) // self.count + 1)
        parts = [self._of(e)[max(begin - e * self.count, 0) : end - e * self.count] for e in epochs]
        return np.concatenate(parts)

    def _of(self, epoch: int) -> Ints:
        known, order = self._known  # read and written whole, as another thread may be here
        if epoch != known:
            order = permutation(derive_seed("batches", self.seed, epoch), self.count)
            self._known = (epoch, order)
        return order
