"""Work done ahead of its use, in threads and in order, without holding more than a few results."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from blemish.core.errors import ImageError

T = TypeVar("T")
R = TypeVar("R")

THREADS = 2
"""OpenCV decodes and resizes outside Python's lock, so threads suffice, and a small folder waits for no processes."""

NAME = "blemish-read"
"""What the threads are called."""


def read_ahead(
    work: Callable[[T], R], items: Iterable[T], *, ahead: int = 16, threads: int = THREADS
) -> Iterator[tuple[T, R | ImageError]]:
    """Compute results ahead of their use, in threads.

    Args:
        work: Computes the result of an item.
        items: The items.
        ahead: Most results that are held.
        threads: Number of threads.

    Yields:
        (item, result), in order; an ImageError that `work` raises is the result, other errors are raised.
    """

    def attempt(item: T) -> R | ImageError:
        try:
            return work(item)
        except ImageError as error:
            return error

    pool = ThreadPoolExecutor(threads, thread_name_prefix=NAME)
    waiting: deque[tuple[T, Future[R | ImageError]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(attempt, item)))
            if len(waiting) >= ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
    finally:
        # What nobody reads to its end is closed by the garbage collector: in any thread, also in one of ours, which cannot
        # wait for itself.
        ours = threading.current_thread().name.startswith(NAME)
        pool.shutdown(wait=not ours, cancel_futures=True)
