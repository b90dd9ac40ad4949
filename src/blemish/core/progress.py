"""Progress of long work on standard error: a bar in a terminal or notebook, elsewhere a plain line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import suppress
from datetime import timedelta
from importlib.util import find_spec
from typing import NamedTuple, TypeVar

T = TypeVar("T")

DAY = 24 * 3600.0
EVERY = 30.0
"""Seconds between two lines, and before the first: short work prints nothing."""


def progress(
    items: Iterable[T],
    label: str,
    total: int | None = None,
    *,
    done: int = 0,
    note: Callable[[], str] | None = None,
    left: Callable[[], float | None] | None = None,
) -> Iterator[T]:
    """Pass items through, and report on standard error how far they are.

    In a terminal and in a notebook that is a bar; elsewhere, in a pipe or a log file, a line every 30 s, none for
    shorter work. Of several processes that torchrun started only the first reports.

    Args:
        items: The items.
        label: What the work is called.
        total: Number of items, with those `done`; by default the length of `items`, where it has one.
        done: Items that were finished before.
        note: Called after each item; its text is shown next to the label.
        left: Called after each item for the seconds left; by default they follow from the mean time per item.

    Returns:
        The items, in their order.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr is None or os.environ.get("RANK", "0") != "0":
        return iter(items)
    show = _bar if sys.stderr.isatty() or in_notebook() else _lines
    return show(items, _Work(label, total, done, note, left))


class _Work(NamedTuple):
    """The arguments of `progress` other than its items."""

    label: str
    total: int | None
    done: int
    note: Callable[[], str] | None
    left: Callable[[], float | None] | None


def _bar(items: Iterable[T], work: _Work) -> Iterator[T]:
    label, total, done, note, left = work
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    remaining = TimeRemainingColumn() if left is None else TextColumn("{task.fields[left]}", style="progress.remaining")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), remaining
    # rich forgets what is older than this, 30 s by itself: items that take longer would have no time left
    with Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=DAY) as bar:
        task = bar.add_task(label, total=total, completed=done, left=clock(None))
        for item in items:
            yield item
            said = f"{label} {note()}" if note else label
            bar.update(task, advance=1, description=said, left=clock(left() if left else None))


def _lines(items: Iterable[T], work: _Work) -> Iterator[T]:
    label, total, before, note, left = work
    began, done = time.monotonic(), before
    said = began
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - said < EVERY or done == total:
            continue
        said = now
        mean = None if total is None else (total - done) * (now - began) / (done - before)
        parts = [f"{label} {done}" if total is None else f"{label} {done}/{total}"]
        parts += [f"{clock(left() if left else mean)} left"] if left or mean is not None else []
        parts += [note()] if note else []
        with suppress(OSError, ValueError):  # nothing reads it any more; the work goes on
            print(", ".join(parts), file=sys.stderr, flush=True)


def in_notebook() -> bool:
    """Return whether this is a Jupyter kernel that can show a bar."""
    if "ipykernel" not in sys.modules or find_spec("ipywidgets") is None:  # rich draws its bar with it
        return False
    from rich.console import Console

    return Console().is_jupyter


def clock(seconds: float | None) -> str:
    """Return a duration as hours, minutes and seconds.

    Args:
        seconds: The duration; None if it is unknown.

    Returns:
        1:02:03, or -:--:-- for None.
    """
    return "-:--:--" if seconds is None else str(timedelta(seconds=round(seconds)))
