"""Work shared among the threads that torch's own operations run on.

After each operation torch's workers (OpenMP's, of libgomp) wait some milliseconds for the next one without sleeping. For
as long threads of our own would compete with them for the processor's cores. A task of the same workers does not, and no
thread has to be started for it. Where torch is built with another OpenMP, plain threads do the work.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
T = TypeVar("T")


def together(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Run tasks at the same time, in as many threads as there are tasks, this one among them.

    A task should leave Python's lock most of the time, as compiled loops do. What one raises is raised here, when all
    have ended.

    Args:
        tasks: Functions without arguments.

    Returns:
        The result of each.
    """
    found: dict[int, T] = {}
    failed: list[BaseException] = []
    waiting = iter(enumerate(tasks))

    def run(_: int | None) -> None:
        try:
            for number, task in waiting:
                found[number] = task()
        except BaseException as error:  # nothing may leave a function that C calls
            failed.append(error)

    parallel = _parallel() if len(tasks) > 1 else None
    if parallel is not None:
        parallel(TASK(run), None, len(tasks), 0)
    elif len(tasks) > 1:
        with ThreadPoolExecutor(len(tasks)) as pool:
            list(pool.map(run, range(len(tasks))))
    else:
        run(None)
    if failed:
        raise failed[0]
    return [found[number] for number in range(len(tasks))]


@cache
def _parallel() -> Callable[..., Any] | None:
    """Return `GOMP_parallel(function, data, threads, flags)` of the libgomp that is loaded; None if there is none."""
    try:
        library = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOW | os.RTLD_NOLOAD)
        found: Callable[..., Any] = library.GOMP_parallel
    except (OSError, AttributeError):
        return None
    return found
