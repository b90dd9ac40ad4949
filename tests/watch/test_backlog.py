"""When a file counts as complete, and what happens to those that do not; time is given, not waited for."""

from blemish.watch import FileState
from blemish.watch.backlog import LONGEST_PAUSE, Backlog


def part(path: str = "a.png", size: int = 10, mtime: int = 1) -> FileState:
    return FileState(path, size, mtime)


def test_a_file_is_complete_when_nothing_has_changed_for_the_settle_time() -> None:
    backlog = Backlog(settle=1.0, give_up=5.0)
    backlog.add(part(), 100.0)
    assert backlog.take(100.9, 9) == []
    backlog.see(part(size=11), 100.9)
    assert backlog.take(101.5, 9) == []
    backlog.see(part(size=11, mtime=2), 101.5)
    assert backlog.take(102.4, 9) == []
    assert backlog.take(102.5, 9) == [part(size=11, mtime=2)]
    assert backlog.take(102.5, 9) == [], "it is taken once"


def test_a_file_that_is_known_to_have_been_quiet_need_not_wait_but_has_its_time_to_become_readable() -> None:
    backlog = Backlog(settle=1.0, give_up=5.0)
    backlog.add(part(), 100.0, quiet=3600.0)
    assert backlog.take(100.0, 9) == [part()]
    assert not backlog.has_had_its_time(part(), 105.9)
    assert backlog.has_had_its_time(part(), 106.0)


def test_what_cannot_be_read_is_tried_after_growing_pauses_until_its_time_is_over() -> None:
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


def test_the_one_written_first_goes_first_and_no_more_than_asked() -> None:
    backlog = Backlog(settle=0.0, give_up=0.0)
    for i in (3, 1, 4, 2):
        backlog.add(part(f"{i}.png", mtime=i), 0.0)
    assert [found.mtime_ns for found in backlog.take(0.0, 3)] == [1, 2, 3]
    assert len(backlog) == 4


def test_what_a_sweep_does_not_find_any_more_goes_unless_it_is_being_looked_at() -> None:
    backlog = Backlog(settle=1.0, give_up=0.0)
    backlog.add(part("taken", mtime=0), 0.0)
    backlog.add(part("complete"), 0.0)
    assert backlog.take(1.0, 1) == [part("taken", mtime=0)]
    backlog.add(part("begun"), 1.0)
    assert backlog.end_sweep(["taken", "complete", "begun"], 7, 1.5) == ["complete"]
    assert backlog.paths() == ["taken"]
    assert len(backlog) == 8
