"""The progress bar says how much is left, also of items that take minutes; without a terminal it says nothing."""

import io

from blemish.progress import clock, progress


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


def test_nobody_watches_nothing_is_written(monkeypatch) -> None:
    quiet = io.StringIO()
    monkeypatch.setattr("sys.stderr", quiet)
    assert list(progress(range(3), "cells", left=lambda: 1 / 0)) == [0, 1, 2]
    assert quiet.getvalue() == ""
