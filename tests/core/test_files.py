"""Writing is all or nothing; a hash is that of the whole content."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from blemish.core.errors import FormatError, StorageError
from blemish.core.files import read_json, sha256, write_atomically, write_json, write_text


def test_writes_and_replaces(tmp_path) -> None:
    path = tmp_path / "new" / "a.json"
    write_json(path, {"a": [1, 2]})
    assert read_json(path) == {"a": [1, 2]}
    write_text(path, "{}")
    assert read_json(path) == {}
    assert os.listdir(path.parent) == ["a.json"]  # noqa: PTH208


def test_a_failure_leaves_the_old_content_and_no_litter(tmp_path) -> None:
    path = write_text(tmp_path / "a.txt", "old")

    def half(part: Path) -> None:
        part.write_text("ha")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"cannot write .*a\.txt: No space left on device\. Free some space"):
        write_atomically(path, half)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_kill_in_the_middle_leaves_the_old_content(tmp_path) -> None:
    import signal
    import subprocess
    import sys

    path = write_text(tmp_path / "a.txt", "old")
    code = (
        "import os, signal; from blemish.core.files import write_atomically\n"
        f"write_atomically({str(path)!r}, lambda p: (p.write_text('half'), os.kill(os.getpid(), signal.SIGKILL)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_full_disk_and_a_read_only_place(tmp_path) -> None:
    if Path("/dev/full").exists():
        with pytest.raises(StorageError, match="cannot write"):
            write_text("/dev/full/a.txt", "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_damaged_json_says_so(tmp_path) -> None:
    path = write_text(tmp_path / "a.json", '{"a": ')
    with pytest.raises(FormatError, match=r"a\.json is not readable as JSON"):
        read_json(path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))


def test_a_hash_is_that_of_the_files_one_after_the_other(tmp_path) -> None:
    one, two = tmp_path / "model.xml", tmp_path / "model.bin"
    one.write_bytes(b"a" * 100_000)
    two.write_bytes(b"bc")
    assert sha256(one) == hashlib.sha256(b"a" * 100_000).hexdigest()
    assert sha256(one, two) == hashlib.sha256(b"a" * 100_000 + b"bc").hexdigest()
    with pytest.raises(FileNotFoundError):
        sha256(tmp_path / "none")


def test_json_that_is_nested_too_deeply_says_so(tmp_path) -> None:
    path = write_text(tmp_path / "a.json", "[" * 100_000)
    with pytest.raises(FormatError, match=r"a\.json is not readable as JSON: it is nested too deeply"):
        read_json(path)


def test_half_a_letter_in_a_name_stops_no_page(tmp_path) -> None:
    """Half a letter in a files name keeps no page from being written."""
    name = os.fsdecode(b"caf\xe9.png")
    assert write_text(tmp_path / "a.html", f"<b>{name}</b>").read_text() == r"<b>caf\udce9.png</b>"
