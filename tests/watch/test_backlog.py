"""When a file counts as complete, and what happens to those that do not; time is given, not waited for."""

from blemish.watch import FileState
from blemish.watch.backlog import LONGEST_PAUSE, Backlog


def part(path: str = "a.png", size: int = 10, mtime: int = 1) -> FileState:
    return FileState(path, size, mtime)


def test_a_file_is_complete_after_the_settle_time() -> None:
    """A file is complete when nothing has changed for the settle time."""
    backlog = Backlog(settle=1.0, give_up=5.0)
    backlog.add(part(), 100.0)
    assert backlog.take(100.9, 9) == []
    backlog.see(part(size=11), 100.9)
    assert backlog.take(101.5, 9) == []
    backlog.see(part(size=11, mtime=2), 101.5)
    assert backlog.take(102.4, 9) == []
    assert backlog.take(102.5, 9) == [part(size=11, mtime=2)]
    assert backlog.take(102.5, 9) == [], "it is taken once"


def test_a_quiet_file_need_not_wait() -> None:
    """A file that is known to have been quiet need not wait but has its time to become readable."""
    backlog = Backlog(settle=1.0, give_up=5.0)
    backlog.add(part(), 100.0, quiet=3600.0)
    assert backlog.take(100.0, 9) == [part()]
    assert not backlog.has_had_its_time(part(), 105.9)
    assert backlog.has_had_its_time(part(), 106.0)


def test_unreadable_files_are_retried_after_growing_pauses() -> None:
    """What cannot be read is tried after growing pauses until its time is over."""
    backlog = Backlog(settle=1.0, give_up=20.0)
    backlog.add(part(), 0.0)
    tries = []
    for quarter in range(4 * 25):
        now = quarter / 4
        if backlog.take(now, 9):
            tries.append(now)
            if not backlog.has_had_its_time(part(), now):
                backlog.postpone(part(), now)
    assert tries == [1.0, 2.0, 4.0, 8.0, 16.0, 21.0]


def test_a_change_begins_all_anew() -> None:
    backlog = Backlog(settle=1.0, give_up=2.0)
    backlog.add(part(), 0.0)
    backlog.take(1.0, 9)
    backlog.postpone(part(), 1.0)
    backlog.see(part(size=20), 2.5)
    assert backlog.take(3.5, 9) == [part(size=20)]
    assert not backlog.has_had_its_time(part(size=20), 5.4)


def test_pauses_are_bounded_also_beyond_the_given_time() -> None:
    backlog = Backlog(settle=1.0, give_up=0.0)
    backlog.add(part(), 0.0)
    now = 1.0
    for _ in range(100):  # as when the share is away
        assert backlog.take(now, 9)
        backlog.postpone(part(), now)
        now += LONGEST_PAUSE


def test_the_oldest_goes_first_and_no_more_than_asked() -> None:
    """The one written first goes first and no more than asked."""
    backlog = Backlog(settle=0.0, give_up=0.0)
    for i in (3, 1, 4, 2):
        backlog.add(part(f"{i}.png", mtime=i), 0.0)
    assert [found.mtime_ns for found in backlog.take(0.0, 3)] == [1, 2, 3]
    assert len(backlog) == 4


def test_files_that_a_sweep_misses_are_dropped_unless_taken() -> None:
    """What a sweep does not find any more goes unless it is being looked at."""
    backlog = Backlog(settle=1.0, give_up=0.0)
    backlog.add(part("taken", mtime=0), 0.0)
    backlog.add(part("complete"), 0.0)
    assert backlog.take(1.0, 1) == [part("taken", mtime=0)]
    backlog.add(part("begun"), 1.0)
    assert backlog.end_sweep(["taken", "complete", "begun"], 7, 1.5) == ["complete"]
    assert backlog.paths() == ["taken"]
    assert len(backlog) == 8
