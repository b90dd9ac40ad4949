"""Ctrl-C between two steps instead of inside one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def late_interrupt() -> Iterator[Callable[[], None]]:
    """Hold a first Ctrl-C back until the returned function is called, or the block ends; a second one acts at once."""
    asked: list[int] = []

    def hear(number: int, _: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def act() -> None:
        if asked:
            raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield act  # somebody else handles it, or nobody can
        return
    signal.signal(signal.SIGINT, hear)
    try:
        yield act
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    act()
