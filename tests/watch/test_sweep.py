"""Sweeps: what is asked and what is not, and what is noticed."""

import os
from pathlib import Path

import pytest

from blemish.watch import find
from blemish.watch.backlog import Backlog
from blemish.watch.find import Sweep, chooser, passing


class Looking:
    def __init__(self, folder: Path, limit: int = 100) -> None:
        self.done: set = set()
        self.backlog = Backlog(0.0, 0.0, limit)
        self.said: list[str] = []
        self.sweep = Sweep(
            folder, folder / "out", self.backlog, self.done.__contains__, chooser(()), 0, self.said.append
        )

    def finish(self) -> list[str]:
        parts = self.backlog.take(float("inf"), 10**6)
        for part in parts:
            self.done.add(part)
            self.backlog.drop(part.path)
        return sorted(part.path for part in parts)


@pytest.fixture
def looking(tmp_path) -> Looking:
    return Looking(tmp_path)


def touch(path: Path, text: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_new_files_are_found_once(tmp_path, looking) -> None:
    touch(tmp_path / "a.png")
    touch(tmp_path / "b" / "c.jpg")
    touch(tmp_path / "out" / "overlay.png")
    looking.sweep()
    assert looking.finish() == ["a.png", "b/c.jpg"]
    looking.sweep()
    assert looking.finish() == []
    touch(tmp_path / "b" / "d.png")
    looking.sweep()
    assert looking.finish() == ["b/d.png"]


def test_a_share_of_finished_files_finds_every_change(tmp_path, looking, monkeypatch) -> None:
    """Of many finished files only a share is asked yet every change is found."""
    monkeypatch.setattr(find, "ASKED", 10)
    for i in range(100):
        touch(tmp_path / f"{i}.png")
    looking.sweep()
    assert len(looking.finish()) == 100
    looking.sweep()
    asked = []
    finished = looking.sweep.finished
    looking.sweep.finished = lambda part: asked.append(part.path) or finished(part)
    for _ in range(32):
        looking.sweep()
    assert len(set(asked)) == 100
    assert len(asked) == 200, "with 16 slices, 32 sweeps ask each file twice"
    touch(tmp_path / "55.png", "other content")
    for _ in range(16):
        looking.sweep()
    assert looking.finish() == ["55.png"]


@pytest.mark.skipif(os.name != "posix", reason="listings bring inode numbers on POSIX")
def test_a_file_replaced_by_renaming_is_noticed_at_once(tmp_path, looking, monkeypatch) -> None:
    monkeypatch.setattr(find, "ASKED", 1)
    for i in range(50):
        touch(tmp_path / f"{i}.png")
    looking.sweep()
    looking.finish()
    looking.sweep()
    touch(tmp_path / "new", "other content")
    (tmp_path / "new").replace(tmp_path / "7.png")
    looking.sweep()
    assert looking.finish() == ["7.png"]


def test_files_beyond_the_limit_stay_and_are_counted(tmp_path) -> None:
    """Beyond the limit files stay in their folder and are counted."""
    looking = Looking(tmp_path, limit=10)
    for i in range(25):
        touch(tmp_path / f"{i}.png")
    found = []
    for expected in (25, 15, 5, 0):
        looking.sweep()
        assert len(looking.backlog) == expected
        assert len(looking.backlog.paths()) <= 10
        found += looking.finish()
    assert len(found) == len(set(found)) == 25


def test_an_unlistable_folder_keeps_its_files_waiting(tmp_path, looking, monkeypatch) -> None:
    """A folder that may not be listed keeps its files waiting and is said once."""
    touch(tmp_path / "shut" / "a.png")
    touch(tmp_path / "b.png")
    looking.sweep()
    scandir = os.scandir

    def refuses(path):
        if str(path).rstrip("/").endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuses)
        looking.sweep()
        looking.sweep()
        assert sorted(looking.backlog.paths()) == ["b.png", "shut/a.png"]
    assert looking.said == ["shut/ cannot be listed: Permission denied; its files wait."]
    looking.sweep()
    assert looking.finish() == ["b.png", "shut/a.png"]


def test_folders_that_cannot_be_seen_are_counted_until_they_can(tmp_path, looking, monkeypatch) -> None:
    touch(tmp_path / "shut" / "a.png")
    touch(tmp_path / "going" / "a.png")
    touch(tmp_path / "asks" / "a.png")
    touch(tmp_path / "asks" / "b.png")
    scandir = os.scandir

    class Unasked:
        """A file in a folder that may be listed but not entered: its name is known, its size cannot be had."""

        def __init__(self, entry) -> None:
            self.entry, self.name = entry, entry.name

        def __getattr__(self, name):
            return getattr(self.entry, name)

        def stat(self):
            raise PermissionError(13, "Permission denied")

    class Listing(list):
        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda *arguments: None  # noqa: E731

    def refuses(path):
        if str(path).rstrip("/").endswith("shut"):
            raise PermissionError(13, "Permission denied")
        if str(path).rstrip("/").endswith("going"):
            raise FileNotFoundError(2, "No such file or directory")
        if str(path).rstrip("/").endswith("asks"):
            return Listing(map(Unasked, scandir(path)))
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuses)
        looking.sweep()
        looking.sweep()
        assert looking.sweep.unseen == 2
        assert looking.finish() == []
    first, second = sorted(looking.said)
    assert first.startswith("asks/")
    assert "cannot be seen: Permission denied" in first
    assert second.startswith("shut/ cannot be listed")
    looking.sweep()
    assert looking.sweep.unseen == 0
    assert looking.finish() == ["asks/a.png", "asks/b.png", "going/a.png", "shut/a.png"]


def test_a_file_that_vanishes_is_said_and_links_in_circles_end(tmp_path, looking) -> None:
    touch(tmp_path / "a.png")
    (tmp_path / "circle").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "absent")
    looking.sweep()
    assert looking.backlog.paths() == ["a.png"]
    (tmp_path / "a.png").unlink()
    looking.sweep()
    assert looking.said == ["a.png vanished before it was looked at."]
    assert not looking.backlog.paths()


def test_names() -> None:
    assert [passing(n) for n in (".a.png", "~a.png", "a.png~", "a.PART", "a.tmp", "a.png")] == [True] * 5 + [False]
    chosen = chooser(["top_*", "cam1/*.png"])
    assert chosen("x/top_1.JPG", "top_1.JPG")
    assert chosen("cam1/deep/a.png", "a.png")
    assert not chosen("cam2/a.png", "a.png")
    assert not chosen("top_1.txt", "top_1.txt")
