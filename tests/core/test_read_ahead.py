"""Work ahead of its use: in order, not too far ahead, and put away wherever its reader stops."""

from __future__ import annotations

import gc
import threading

import pytest

from blemish.core.errors import ImageError
from blemish.core.read_ahead import read_ahead


def test_results_come_in_order_with_their_errors() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ImageError("torn")
        return item * item

    found = list(read_ahead(work, range(6), ahead=2))
    assert [item for item, _ in found] == list(range(6))
    assert [result for item, result in found if item != 3] == [0, 1, 4, 16, 25]
    assert isinstance(found[3][1], ImageError)
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda item: 1 // item, [1, 0]))


def test_no_more_is_begun_than_may_be_held() -> None:
    begun: list[int] = []
    results = read_ahead(begun.append, range(100), ahead=4)
    next(results)
    results.close()
    assert len(begun) <= 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("blemish-read")]


def test_a_half_read_one_is_collected_by_its_own_thread() -> None:
    """A reader that stops half-way leaves a generator that the garbage collector closes, in whichever thread it runs."""
    left, collected = threading.Event(), threading.Event()

    def work(item: int) -> int:
        if item == 1:
            left.wait(10)
            gc.collect()
            collected.set()
        return item

    results = read_ahead(work, range(8), ahead=2, threads=2)
    assert next(results) == (0, 0)
    cycle: list[object] = [results]
    cycle.append(cycle)
    gc.disable()
    try:
        del results, cycle
        left.set()
        assert collected.wait(10)
    finally:
        gc.enable()
    for thread in threading.enumerate():
        if thread.name.startswith("blemish-read"):
            thread.join(10)
            assert not thread.is_alive()
