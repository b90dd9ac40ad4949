"""The progress bar says how much is left, also of items that take minutes; where nobody watches a line does at times."""

import io
import sys

from blemish.core.progress import clock, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch) -> Terminal:
    """Somebody watches from now on (not a fixture: pytest puts its own stream there after those)."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("RANK", raising=False)
    return screen


def slowly(now: list[float], seconds: float, count: int):
    for item in range(count):
        now[0] += seconds
        yield item


def test_items_of_minutes_have_a_time_left(monkeypatch) -> None:
    screen = terminal(monkeypatch)
    now = [0.0]
    monkeypatch.setattr("rich.console.monotonic", lambda: now[0])
    running = progress(slowly(now, 100, 5), "cells", total=5)
    assert [next(running) for _ in range(4)] == [0, 1, 2, 3]  # after the fourth came: three are counted, two are left
    running.close()
    assert "3/5" in screen.getvalue()
    assert "0:03:20" in screen.getvalue()


def test_who_knows_better_says_what_is_left(monkeypatch) -> None:
    screen = terminal(monkeypatch)
    running = progress(range(4), "cells", total=4, left=lambda: 3700.0)
    next(running)
    next(running)
    running.close()
    assert "1:01:40" in screen.getvalue()
    assert (clock(None), clock(0.4), clock(59.6)) == ("-:--:--", "0:00:00", "0:01:00")


def test_without_a_terminal_short_work_says_nothing(monkeypatch) -> None:
    quiet = io.StringIO()
    monkeypatch.setattr("sys.stderr", quiet)
    assert list(progress(range(3), "cells", left=lambda: 1 / 0)) == [0, 1, 2]
    assert quiet.getvalue() == ""


def logged(monkeypatch, seconds: float, count: int, **options) -> list[str]:
    """Return what a log file holds after `count` items of so many seconds each."""
    log, now = io.StringIO(), [0.0]
    monkeypatch.setattr("sys.stderr", log)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.delenv("RANK", raising=False)
    assert list(progress(slowly(now, seconds, count), "fit", **options)) == list(range(count))
    return log.getvalue().splitlines()


def test_without_a_terminal_a_line_now_and_then_reports(monkeypatch) -> None:
    """Without a terminal a line every half minute says how far it is."""
    assert logged(monkeypatch, 1, 100, total=100, note=lambda: "loss 0.5") == [
        "fit 30/100, 0:01:10 left, loss 0.5",
        "fit 60/100, 0:00:40 left, loss 0.5",
        "fit 90/100, 0:00:10 left, loss 0.5",
    ]
    assert logged(monkeypatch, 100, 3, total=13, done=10) == ["fit 11/13, 0:03:20 left", "fit 12/13, 0:01:40 left"]
    assert logged(monkeypatch, 40, 2, total=2, left=lambda: 3700.0) == ["fit 1/2, 1:01:40 left"]
    assert logged(monkeypatch, 40, 2) == ["fit 1", "fit 2"]
    assert logged(monkeypatch, 1, 29, total=100) == []


def test_one_of_several_processes_reports(monkeypatch) -> None:
    """Of several processes one says it and a log that takes nothing stops no work."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.delenv("RANK", raising=False)
    for stream in (Full(), None):
        monkeypatch.setattr("sys.stderr", stream)
        assert list(progress(slowly(now, 40, 3), "fit", total=3)) == [0, 1, 2]
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    monkeypatch.setenv("RANK", "1")
    assert list(progress(slowly(now, 40, 3), "fit", total=3)) == [0, 1, 2]
    assert log.getvalue() == ""


def test_a_notebook_shows_the_bar(monkeypatch) -> None:
    from types import ModuleType

    from blemish.core.progress import in_notebook

    assert not in_notebook()
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setattr("blemish.core.progress.find_spec", lambda name: None)
    assert not in_notebook(), "rich draws with ipywidgets, and would warn instead"
    monkeypatch.setattr("blemish.core.progress.find_spec", lambda name: name)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert in_notebook()
