"""A batch that does not fit into memory is computed in more parts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

import torch

from ldmbench.errors import is_out_of_memory

__all__ = ["Parted", "within_memory"]

T = TypeVar("T")

LOG = logging.getLogger("ldmbench")


class Parted(Protocol):
    """What computes its batch in `accumulate` parts, of the rows that are its own."""

    device: torch.device
    batch: int
    rows: slice
    accumulate: int


def within_memory(job: Parted, compute: Callable[[], T]) -> T:
    """Call `compute`, and again in twice as many parts while memory runs out; say so once.

    The batch stays what it is, and so does what is drawn for it: weights differ by the order of
    additions.

    Raises:
        RuntimeError: memory runs out although each part is one image.
    """
    before = job.accumulate
    while True:
        try:
            found = compute()
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or job.accumulate >= job.rows.stop - job.rows.start:
                raise
        # outside the handler: its traceback holds the tensors that did not fit
        job.accumulate *= 2
        if job.device.type == "cuda":
            torch.cuda.empty_cache()
    if job.accumulate != before:
        size = -(-(job.rows.stop - job.rows.start) // job.accumulate)
        LOG.warning(
            "%s: memory does not reach for a batch of %d images at once; it is computed in %d parts"
            " of at most %d (accumulate: %d), which changes weights by rounding alone",
            job.device,
            job.batch,
            job.accumulate,
            size,
            job.accumulate,
        )
    return found
