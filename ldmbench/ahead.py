"""Making things ahead of their use, in a thread: the order and what is made stay the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar, cast

__all__ = ["ahead"]

T = TypeVar("T")
_END: object = object()


def ahead(items: Iterable[T], *, depth: int = 1) -> Iterator[T]:
    """Yield what an iterable makes, while a thread makes the next `depth` items.

    The thread starts at once. An error of the iterable is raised where its item is asked for, so
    one behind the last item that is used is never seen. Modes of torch that belong to a thread
    (no_grad, autocast) do not hold in it.

    Args:
        items: made one after the other, by the one thread.
        depth: items that wait for their use at most.
    """
    source = iter(items)
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead")
    waiting = deque(pool.submit(next, source, _END) for _ in range(depth))
    return _used(source, pool, waiting)


def _used(
    source: Iterator[T], pool: ThreadPoolExecutor, waiting: deque[Future[Any]]
) -> Iterator[T]:
    try:
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(pool.submit(next, source, _END))
            yield cast("T", item)
    finally:
        pool.shutdown(cancel_futures=True)
