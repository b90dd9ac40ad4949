"""The journal: torn and damaged lines, full disks, rotation."""

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blemish.core.errors import StorageError
from blemish.watch import FileState, journal
from blemish.watch.journal import Journal


def part(i: int) -> FileState:
    return FileState(f"{i}.png", 100 + i, 1_700_000_000_000_000_000 + i)


def add(kept: Journal, i: int) -> None:
    kept.add(part(i), {"part": part(i)._asdict(), "verdict": "good"})


def filled(folder: Path, count: int, **options) -> Path:
    kept = Journal(folder, say=print, **options)
    for i in range(count):
        add(kept, i)
        kept.commit()
    kept.close()
    return folder / "results.jsonl"


@settings(max_examples=60)
@given(cut=st.integers(0, 10_000))
def test_a_torn_last_line_goes_and_whole_lines_stay(tmp_path_factory, cut) -> None:
    """Wherever the file ends whole lines stay and the torn one goes."""
    folder = tmp_path_factory.mktemp("torn")
    path = filled(folder, 5)
    whole = path.read_bytes()
    content = whole[: cut % (len(whole) + 1)]
    path.write_bytes(content)
    said = []
    kept = Journal(folder, say=said.append)
    complete = content.count(b"\n")
    assert [part(i) in kept for i in range(5)] == [i < complete for i in range(5)]
    assert path.read_bytes() == content[: content.rfind(b"\n") + 1]
    assert ["torn line" in text for text in said] == ([] if content.endswith(b"\n") or not content else [True])
    for i in range(complete, 5):
        add(kept, i)
    kept.commit()
    kept.close()
    assert path.read_bytes() == whole


@settings(max_examples=60)
@given(at=st.integers(0, 5), junk=st.binary(min_size=1, max_size=60))
def test_damage_inside_is_moved_aside_and_its_part_reopened(tmp_path_factory, at, junk) -> None:
    """As a power cut leaves it: a page that never reached the disk, with whole lines after it or at the end."""
    folder = tmp_path_factory.mktemp("damaged")
    path = filled(folder, 6)
    before = path.read_bytes().splitlines(keepends=True)
    wrong = b"\0" + junk.replace(b"\n", b"") + b"\n"
    path.write_bytes(b"".join([*before[:at], wrong, *before[at + 1 :]]))
    said = []
    kept = Journal(folder, say=said.append)
    kept.close()
    assert [i for i in range(6) if part(i) not in kept] == [at]
    assert path.read_bytes() == b"".join([*before[:at], *before[at + 1 :]])
    assert (folder / "results.jsonl.damaged").read_bytes() == wrong
    assert "1 damaged lines" in said[0]


def test_only_a_last_line_without_its_end_is_torn(tmp_path) -> None:
    path = filled(tmp_path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole + b"damaged\nas well\ntorn")
    said = []
    Journal(tmp_path, say=said.append).close()
    assert path.read_bytes() == whole
    assert (tmp_path / "results.jsonl.damaged").read_bytes() == b"damaged\nas well\n"
    assert ["torn line" in said[0], "2 damaged lines" in said[1]] == [True, True]


@pytest.mark.parametrize(
    "text",
    [
        '{"part":{"path":"a","size":1e999,"mtime_ns":1}}',
        '{"part":{"path":"a","size":NaN,"mtime_ns":1}}',
        '{"part":{"path":"a","size":[],"mtime_ns":1}}',
        '{"part":{"path":"a","size":' + "9" * 5000 + ',"mtime_ns":1}}',
        '{"part":' + "[" * 100_000,
        '{"part":"a"}',
        "[]",
        "null",
        "",
    ],
    ids=range(9),
)
def test_no_damage_keeps_the_journal_from_opening(tmp_path, text) -> None:
    path = filled(tmp_path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole + text.encode() + b"\n")
    Journal(tmp_path, say=print).close()
    assert path.read_bytes() == whole
    assert (tmp_path / "results.jsonl.damaged").read_text() == text + "\n"


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be taken away there")
@pytest.mark.parametrize("rotate", [None, 50])
@pytest.mark.parametrize("how", ["renamed", "removed", "replaced", "cut"])
def test_a_file_taken_away_while_open_loses_no_line(tmp_path, how, rotate) -> None:
    """A file that is taken away while it is open loses no line."""
    said: list[str] = []
    kept = Journal(tmp_path, rotate_bytes=rotate, say=said.append)
    add(kept, 0)
    kept.commit()
    if how == "renamed":
        kept.path.rename(tmp_path / "taken")
    elif how == "removed":
        kept.path.unlink()
    elif how == "cut":
        os.truncate(kept.path, 0)
    else:
        (tmp_path / "other").write_text('{"part": {"path": "x", "size": 1, "mtime_ns": 1}}\n')
        (tmp_path / "other").replace(kept.path)
    for i in (1, 2):
        add(kept, i)
        kept.commit()
    kept.close()
    assert len(said) == 1
    assert {"renamed": "taken away", "removed": "taken away"}.get(how, how) in said[0]
    text = "".join(path.read_text() for path in [*sorted(tmp_path.glob("results-*.jsonl")), kept.path])
    names = [json.loads(line)["part"]["path"] for line in text.splitlines()]
    assert sorted(names) == ["1.png", "2.png", *(["x"] if how == "replaced" else [])]


def test_nothing_is_on_the_disk_before_commit(tmp_path) -> None:
    """Nothing is on the disk before commit and everything after."""
    kept = Journal(tmp_path, say=print)
    add(kept, 0)
    assert part(0) in kept
    assert kept.due
    assert (tmp_path / "results.jsonl").read_bytes() == b""
    assert len(kept.commit()) == 1
    assert kept.commit() == []
    assert json.loads((tmp_path / "results.jsonl").read_text())["part"] == part(0)._asdict()
    kept.close()


def test_a_failed_commit_leaves_the_file_and_keeps_the_lines(tmp_path, monkeypatch) -> None:
    """A commit that fails leaves the file as it was and keeps the lines."""
    kept = Journal(tmp_path, say=print)
    add(kept, 0)
    kept.commit()
    before = kept.path.read_bytes()
    add(kept, 1)
    for broken in ("write_all", "fsync"):
        with monkeypatch.context() as patch:

            def full(*arguments: object) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            patch.setattr(*((journal, "write_all", full) if broken == "write_all" else (os, "fsync", full)))
            with pytest.raises(StorageError, match="No space left"):
                kept.commit()
        assert kept.path.read_bytes() == before
        assert kept.waiting == 1
    assert len(kept.commit()) == 1
    assert kept.path.read_bytes().count(b"\n") == 2
    kept.close()


def test_a_line_cut_short_by_a_real_limit_is_taken_back(tmp_path) -> None:
    """The system itself refuses to write beyond a size, in the middle of a line."""
    import subprocess
    import sys

    code = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from blemish.core.errors import StorageError\nfrom blemish.watch import FileState\n"
        "from blemish.watch.journal import Journal\n"
        "kept = Journal(Path(sys.argv[1]), say=print)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 2000))\n"
        "for i in range(3):\n"
        "    kept.add(FileState(str(i), 1, i), {'part': FileState(str(i), 1, i)._asdict(), 'text': 'x' * 500})\n"
        "    try:\n        kept.commit()\n"
        "    except StorageError:\n        print(i, kept.path.read_bytes().count(b'\\n'), kept.path.stat().st_size < 700)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "print(len(kept.commit()), kept.path.read_bytes().count(b'\\n'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["1 1 True", "2 1 True", "2 3"]


def test_rotation_forgets_nothing(tmp_path) -> None:
    path = filled(tmp_path, 40, rotate_bytes=500)
    rotated = sorted(tmp_path.glob("results-*.jsonl"))
    assert len(rotated) > 5
    assert all(file.stat().st_size >= 500 for file in rotated)
    text = "".join(file.read_text() for file in [*rotated, path])
    assert sorted(json.loads(line)["part"]["path"] for line in text.splitlines()) == sorted(
        f"{i}.png" for i in range(40)
    )
    kept = Journal(tmp_path, say=print)
    assert all(part(i) in kept for i in range(40))
    kept.close()


def test_a_folder_that_cannot_be_written_says_so(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        Journal(tmp_path / "file", say=print)
