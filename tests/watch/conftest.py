"""Watchers that run beside the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from blemish.watch import Watch
from watched import Brightness


@pytest.fixture
def model() -> Brightness:
    return Brightness()


@pytest.fixture
def start(model, tmp_path) -> Iterator[Callable[..., Watch]]:
    """Start watchers of tmp_path/line in threads; they are stopped, and their errors raised, at the end."""
    running: list[tuple[Watch, threading.Thread, list[BaseException]]] = []

    def begin(**options: Any) -> Watch:
        (tmp_path / "line").mkdir(exist_ok=True)
        watch = Watch(tmp_path / "line", model, tmp_path / "out", **{"settle": 0.2, "poll": 0.02, **options})
        failures: list[BaseException] = []

        def work() -> None:
            try:
                watch.run()
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        running.append((watch, thread, failures))
        return watch

    yield begin
    for watch, thread, failures in running:
        watch.stop()
        thread.join(60)
        assert not thread.is_alive()
        assert not failures, failures
