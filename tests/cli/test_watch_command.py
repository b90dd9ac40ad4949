"""`blemish watch` as people and service managers meet it; with a model that needs no torch."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

from blemish.cli.watch import load_model, moment
from blemish.core.errors import InputError
from blemish.core.files import sha256

HERE = Path(__file__).resolve().parents[1] / "watch"
COMMAND = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from watched import Brightness
import blemish.cli.watch as watching
class Bare(Brightness):
    def __init__(self):
        super().__init__()
        self.calibration = None
watching.load_model = lambda path, device: ((Bare if path.name == "bare" else Brightness)(), "f00d")
from blemish.cli import main
main()
"""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", COMMAND, str(HERE), "watch", *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def line(tmp_path) -> Path:
    (tmp_path / "line").mkdir()
    return tmp_path / "line"


@pytest.fixture
def options(tmp_path) -> list[object]:
    return ["--model", tmp_path / "m", "--out", tmp_path / "out", "--settle", 0.05, "--poll", 0.02, "--give-up", 0.2]


@pytest.fixture
def picture():
    import numpy as np

    from blemish.imaging.reading import encode_png

    return lambda value: encode_png(np.full((32, 32, 3), value, np.uint8))


@pytest.mark.slow
def test_once_has_the_exit_codes_of_inspect(line, options, picture, tmp_path) -> None:
    assert run(line, *options, "--once").returncode == 0
    (line / "good\n.png").write_bytes(picture(20))
    done = run(line, *options, "--once")
    assert done.returncode == 0
    assert done.stdout.startswith("good       score ")
    assert "good\\n.png" in done.stdout
    assert "1 good, 0 defective, 0 errors; 0 waiting" in done.stderr
    (line / "bad.png").write_bytes(picture(230))
    assert run(line, *options, "--once").returncode == 1
    (line / "bad2.png").write_bytes(picture(230))
    (line / "broken.png").write_bytes(b"")
    done = run(line, *options, "--once", "--json")
    assert done.returncode == 2
    printed = [json.loads(text) for text in done.stdout.splitlines()]
    written = [json.loads(text) for text in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert printed == written[2:]
    assert {entry["model"] for entry in written} == {"f00d"}
    assert run(line, *options, "--once").returncode == 0, "nothing new"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_another_watcher_may_begin(line, options, picture, tmp_path, number) -> None:
    (line / "1.png").write_bytes(picture(20))
    process = subprocess.Popen(command(line, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("good"), "it looks, and what it says is flushed"
    refused = run(line, *options)
    assert refused.returncode == 2
    assert f"process {process.pid} on" in refused.stderr
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "1 good" in errors
    (line / "2.png").write_bytes(picture(20))
    assert run(line, *options, "--once").returncode == 0
    assert (tmp_path / "out" / "results.jsonl").read_text().count("\n") == 2


@pytest.mark.skipif(sys.platform == "win32", reason="terminals are those of POSIX")
def test_in_a_terminal_the_status_renews_itself(line, options, picture) -> None:
    """In a terminal the status renews itself and results stay out of it."""
    import pty

    (line / "1.png").write_bytes(picture(20))
    ours, theirs = pty.openpty()
    heard: list[bytes] = []

    def listen() -> None:
        while True:
            try:
                text = os.read(ours, 1000)
            except OSError:
                return
            if not text:
                return
            heard.append(text)

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    process = subprocess.Popen(command(line, *options, "--json"), stdout=subprocess.PIPE, stderr=theirs)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["verdict"] == "good"
    end = time.monotonic() + 60
    while b"1 good, 0 defective" not in b"".join(heard) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    process.stdout.close()
    os.close(theirs)
    listening.join(60)
    os.close(ours)
    assert b"0 waiting" in b"".join(heard)
    assert b"verdict" not in b"".join(heard)


SHUT = """
import os
scandir = os.scandir
def refuses(path):
    if str(path).rstrip("/").endswith("shut"):
        raise PermissionError(13, "Permission denied", path)
    return scandir(path)
os.scandir = refuses
"""


def test_once_a_folder_that_cannot_be_listed_is_not_all_good(line, options, picture) -> None:
    for folder in (line, line / "shut"):
        folder.mkdir(exist_ok=True)
        (folder / "1.png").write_bytes(picture(20))
    python, c, code, *rest = command(line, *options, "--once")
    done = subprocess.run([python, c, SHUT + code, *rest], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "shut/ cannot be listed: Permission denied" in done.stderr
    assert "1 good, 0 defective, 0 errors; 0 waiting" in done.stderr
    assert done.stderr.endswith("; 1 folders cannot be seen\n")
    assert run(line, *options, "--once").returncode == 0, "now it can"


@pytest.mark.parametrize("errors_too", [False, True])
def test_a_reader_that_goes_away_ends_no_watcher(line, options, picture, tmp_path, errors_too) -> None:
    for i in range(3):
        (line / f"{i}.png").write_bytes(picture(20))
    ours, theirs = os.pipe()
    os.close(ours)
    call = command(line, *options, "--once", "--json")
    errors = theirs if errors_too else subprocess.PIPE
    done = subprocess.run(call, stdout=theirs, stderr=errors, text=True, check=False, timeout=120)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "results.jsonl").read_text().count("\n") == 3
    assert errors_too or done.stderr.count("stdout takes nothing any more (Broken pipe)") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the full disk is that of Linux")
def test_a_full_disk_under_stdout_ends_no_watcher(line, options, picture, tmp_path) -> None:
    (line / "bad.png").write_bytes(picture(230))
    with Path("/dev/full").open("w") as full:
        call = command(line, *options, "--once")
        done = subprocess.run(call, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert done.returncode == 1, "what was found, not what could be printed"
    assert done.stderr.count("stdout takes nothing any more (No space left on device)") == 1
    assert (tmp_path / "out" / "results.jsonl").read_text().count("\n") == 1


def test_mistakes_are_said(line, options, tmp_path) -> None:
    done = run(line, *options[2:], "--model", tmp_path / "bare")
    assert done.returncode == 2
    assert "no threshold" in done.stderr
    done = run(tmp_path / "nowhere", *options)
    assert done.returncode == 2
    assert "is no folder" in done.stderr
    done = run(line, *options, "--since", "yesterday")
    assert done.returncode == 2
    assert "--since 'yesterday'" in done.stderr


def test_moments() -> None:
    now = time.time()
    assert moment(None) == 0
    assert moment("now") == pytest.approx(now, abs=60)
    assert moment("2h") == pytest.approx(now - 7200, abs=60)
    assert moment("1.5d") == pytest.approx(now - 129600, abs=60)
    assert moment("2026-01-31T06:00") == datetime(2026, 1, 31, 6).astimezone().timestamp()
    assert moment("2026-01-31T06:00+00:00") == 1769839200
    for text in ("", "h", "2x", "31.1.2026", "1e400d", "nand"):
        with pytest.raises(InputError, match="--since"):
            moment(text)


def test_the_hash_of_an_openvino_model_covers_both_files(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("blemish.inference.loading.load", lambda path, device: None)
    path = tmp_path / "part.xml"
    path.write_bytes(b"<net/>")
    hashes = []
    for weights in (b"one", b"two"):
        path.with_suffix(".bin").write_bytes(weights)
        hashes.append(load_model(path, "cpu")[1])
    alone = tmp_path / "part.onnx"
    alone.write_bytes(b"<net/>")
    assert len({*hashes, load_model(alone, "cpu")[1]}) == 3
    assert load_model(alone, "cpu")[1] == sha256(alone)
