"""The whole watcher with a model that needs no torch."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from blemish.core.errors import InputError
from blemish.imaging.reading import read
from blemish.watch import Watch, journal
from watched import lines, noise, png, until


def once(tmp_path: Path, model, **options):
    options = {"settle": 0.0, "give_up": 0.0, "poll": 0.01, **options}
    return Watch(tmp_path / "line", model, tmp_path / "out", **options).run(once=True)


@pytest.fixture
def line(tmp_path) -> Path:
    (tmp_path / "line").mkdir()
    return tmp_path / "line"


def test_every_part_has_one_line_and_a_restart_adds_none(line, tmp_path, model) -> None:
    for i in range(20):
        (line / f"{i:02d}.png").write_bytes(png(200 if i % 5 == 0 else 20))
    status = once(tmp_path, model, model_hash="abc")
    assert (status.good, status.defective, status.error, status.waiting) == (16, 4, 0, 0)
    found = lines(tmp_path / "out")
    assert sorted(entry["part"]["path"] for entry in found) == [f"{i:02d}.png" for i in range(20)]
    for entry in found:
        stat = (line / entry["part"]["path"]).stat()
        assert entry["part"] == {"path": entry["part"]["path"], "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        assert entry["model"] == "abc"
        if entry["verdict"] == "defective":
            assert read(tmp_path / "out" / entry["overlay"]).shape == (32, 64, 3)
        else:
            assert entry["overlay"] is None
    again = once(tmp_path, model)
    assert (again.good, again.defective, again.error) == (0, 0, 0)
    assert lines(tmp_path / "out") == found
    assert len(model.read) == 20


@pytest.mark.slow
@pytest.mark.parametrize("settle", [0.0, 0.2])
def test_a_file_that_is_still_being_written_waits(line, tmp_path, model, start, settle) -> None:
    """With no settle time it is tried, but no verdict is reached from half a file, and no error is reported."""
    content = noise(1)
    half = threading.Event()

    def camera() -> None:
        with (line / "slow.png").open("wb", buffering=0) as stream:
            for i, at in enumerate(range(0, len(content), 400)):
                stream.write(content[at : at + 400])
                if i == 15:
                    half.set()
                time.sleep(0.02)

    writing = threading.Thread(target=camera)
    writing.start()
    start(settle=settle)
    half.wait(60)
    assert not lines(tmp_path / "out")
    writing.join()
    (entry,) = until(lambda: lines(tmp_path / "out"))
    assert entry["verdict"] == "good"
    assert entry["part"]["size"] == len(content)
    assert entry["score"] == pytest.approx(float(read(line / "slow.png").mean()))


def test_a_file_that_stops_half_way_is_not_lost(line, tmp_path, model, start) -> None:
    """A file that stops half way and goes on later is not lost."""
    content = noise(2)
    (line / "stalled.png").write_bytes(content[:5000])
    start()
    until(lambda: len(model.read) >= 2)
    assert not lines(tmp_path / "out")
    with (line / "stalled.png").open("ab") as stream:
        stream.write(content[5000:])
    (entry,) = until(lambda: lines(tmp_path / "out"))
    assert entry["verdict"] == "good"


def test_an_unreadable_file_becomes_an_error(line, tmp_path, model) -> None:
    """An unreadable file becomes an error and the rest goes on."""
    (line / "a.png").write_bytes(png(20)[:50])
    (line / "b.jpg").write_text("no image at all")
    (line / "c.bmp").write_bytes(b"")
    (line / "d.png").write_bytes(png(20))
    status = once(tmp_path, model, give_up=0.3)
    assert (status.good, status.error) == (1, 3)
    said = {entry["part"]["path"]: entry.get("error") for entry in lines(tmp_path / "out")}
    assert "cut off" in said["a.png"]
    assert "not a PNG" in said["b.jpg"]
    assert "0 bytes" in said["c.bmp"]
    assert said["d.png"] is None
    (line / "a.png").write_bytes(png(20))
    assert once(tmp_path, model).good == 1


def test_a_file_written_anew_is_another_part(line, tmp_path, model, start) -> None:
    (line / "latest.png").write_bytes(png(20))
    start()
    until(lambda: len(lines(tmp_path / "out")) == 1)
    (line / "latest.png").write_bytes(png(220))
    until(lambda: len(lines(tmp_path / "out")) == 2)
    (line / "new.tmp").write_bytes(png(230))
    (line / "new.tmp").replace(line / "latest.png")
    until(lambda: len(lines(tmp_path / "out")) == 3)
    assert [entry["verdict"] for entry in lines(tmp_path / "out")] == ["good", "defective", "defective"]
    assert len({entry["overlay"] for entry in lines(tmp_path / "out")}) == 3


def test_a_rewritten_file_gets_the_verdict_of_its_last_content(line, tmp_path, model) -> None:
    """A file written anew while it is looked at is judged by its last content."""
    (line / "x.png").write_bytes(png(220))
    looked = model.stream

    def slow(sources, *, batch_size=8):
        for verdict in looked(sources, batch_size=batch_size):
            if len(model.read) == 1:
                (line / "x.png").write_bytes(png(20, size=40))
            yield verdict

    model.stream = slow
    once(tmp_path, model)
    (entry,) = lines(tmp_path / "out")
    assert entry["verdict"] == "good"
    assert entry["part"]["size"] == len(png(20, size=40))
    assert not list((tmp_path / "out").rglob("*.png"))


def test_names_of_all_kinds_and_deep_folders(line, tmp_path, model) -> None:
    names = [
        "ä ö/日本.png",
        "new\nline.png",
        "a/b/c/d/e/f.PNG",
        "quote\"'.tif.png",
        "%s{}.jpeg.png",
        "l" * 240 + ".png",
    ]
    if sys.platform == "linux":
        names.append(os.fsdecode(b"raw\xff.png"))
    for name in names:
        (line / name).parent.mkdir(parents=True, exist_ok=True)
        (line / name).write_bytes(png(220))
    for name in (".hidden.png", "x.png.part", "y.tmp", "z.png~", ".cache/v.png", "notes.txt", "~w.png"):
        (line / name).parent.mkdir(exist_ok=True)
        (line / name).write_bytes(png(220))
    once(tmp_path, model)
    found = lines(tmp_path / "out")
    assert sorted(entry["part"]["path"] for entry in found) == sorted(names)
    assert all((tmp_path / "out" / entry["overlay"]).is_file() for entry in found)
    assert once(tmp_path, model).defective == 0


def test_results_may_lie_inside_the_folder_but_not_be_it(line, tmp_path, model) -> None:
    (line / "x.png").write_bytes(png(220))
    for _ in range(2):
        Watch(line, model, line / "results", settle=0, poll=0.01).run(once=True)
    assert [entry["part"]["path"] for entry in lines(line / "results")] == ["x.png"]
    with pytest.raises(InputError, match="choose another --out"):
        Watch(line, model, line)
    with pytest.raises(InputError, match="is no folder"):
        Watch(tmp_path / "nowhere", model, tmp_path / "out")
    model.calibration = None
    with pytest.raises(InputError, match="no threshold"):
        Watch(line, model, tmp_path / "out")


def test_patterns_and_since_choose(line, tmp_path, model) -> None:
    for name in ("top_1.png", "side_1.png", "cam/top_2.png", "old/top_3.png"):
        (line / name).parent.mkdir(exist_ok=True)
        (line / name).write_bytes(png(20))
    os.utime(line / "old" / "top_3.png", (1000, 1000))
    once(tmp_path, model, patterns=["top_*"], since=2000)
    assert {entry["part"]["path"] for entry in lines(tmp_path / "out")} == {"top_1.png", "cam/top_2.png"}
    once(tmp_path, model, patterns=["*/top_*"])
    assert {entry["part"]["path"] for entry in lines(tmp_path / "out")} == {
        "top_1.png",
        "cam/top_2.png",
        "old/top_3.png",
    }
    with pytest.raises(InputError, match="pattern ''"):
        once(tmp_path, model, patterns=[""])


def test_a_second_watcher_of_the_same_results_is_refused(line, tmp_path, model, start) -> None:
    start()
    until((tmp_path / "out" / "results.jsonl").exists)
    with pytest.raises(InputError, match=f"process {os.getpid()} on .*another --out"):
        once(tmp_path, model)


def test_a_full_disk_pauses_and_nothing_is_lost(line, tmp_path, model, start, monkeypatch) -> None:
    """The journal takes half of what it is given, then the disk is full; later there is room again."""
    for i in range(10):
        (line / f"{i}.png").write_bytes(png(20))
    full = threading.Event()
    full.set()

    def write(file: int, text: bytes) -> None:
        if full.is_set():
            os.write(file, text[: len(text) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.write(file, text)

    monkeypatch.setattr(journal, "write_all", write)
    said = []
    watch = start(say=said.append)
    watch._space.pause = 0.05
    until(lambda: watch.status.paused)
    assert "No space left" in watch.status.text
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == b""
    (line / "late.png").write_bytes(png(20))
    full.clear()
    until(lambda: len(lines(tmp_path / "out")) == 11)
    assert len({entry["part"]["path"] for entry in lines(tmp_path / "out")}) == 11
    assert [("paused" in text, "going on" in text) for text in said] == [(True, False), (False, True)]


def test_a_full_disk_while_writing_a_picture(line, tmp_path, model, monkeypatch) -> None:
    from blemish.report import pictures

    (line / "x.png").write_bytes(png(220))
    write, tries = pictures._write, []

    def sometimes(path, pixels) -> None:
        tries.append(path)
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, pixels)

    monkeypatch.setattr(pictures, "_write", sometimes)
    watch = Watch(line, model, tmp_path / "out", settle=0, poll=0.01)
    watch._space.pause = 0.01
    watch.run(once=True)
    (entry,) = lines(tmp_path / "out")
    assert len(tries) == 3
    assert [p.name for p in (tmp_path / "out" / "overlays").iterdir()] == [Path(entry["overlay"]).name]


def test_a_slow_model_is_given_only_what_it_asks_for(line, tmp_path, model, start) -> None:
    """A slow model shows what waits and is given only what it asks for."""
    for i in range(30):
        (line / f"{i:02d}.png").write_bytes(png(20))
    looked, go = model.stream, threading.Event()

    def slow(sources, *, batch_size=8):
        for verdict in looked(sources, batch_size=batch_size):
            go.wait(60)
            yield verdict

    model.stream = slow
    watch = start()
    status = until(lambda: watch.status if watch.status.waiting == 30 and model.read else None)
    assert status.oldest > 0
    assert "30 waiting, the oldest for" in status.text
    assert len(model.read) == 1
    go.set()
    until(lambda: len(lines(tmp_path / "out")) == 30)
    assert until(lambda: watch.status.waiting == 0)
    assert watch.status.rate > 0


def test_asked_to_stop_it_writes_what_the_model_has_in_hand(line, tmp_path, model) -> None:
    """The model reads ahead, as the real ones do; what it has taken is finished, nothing more."""
    for i in range(40):
        (line / f"{i:02d}.png").write_bytes(png(20))
    looked, taken = model.stream, []

    def ahead(sources, *, batch_size=8):
        waiting = []
        for source in sources:
            taken.append(source)
            waiting.append(source)
            if len(waiting) > 5:
                watch.stop()
                yield from looked([waiting.pop(0)])
        yield from looked(waiting)

    model.stream = ahead
    watch = Watch(line, model, tmp_path / "out", settle=0, poll=0.01)
    watch.run()
    assert [line / entry["part"]["path"] for entry in lines(tmp_path / "out")] == taken
    assert len(taken) == 6
    model.stream = looked
    once(tmp_path, model)
    assert len({entry["part"]["path"] for entry in lines(tmp_path / "out")}) == len(lines(tmp_path / "out")) == 40


def test_stopping_while_the_disk_is_full_loses_nothing(line, tmp_path, model, monkeypatch) -> None:
    def write(file: int, text: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (line / "x.png").write_bytes(png(20))
    said = []
    with monkeypatch.context() as patch:
        patch.setattr(journal, "write_all", write)
        watch = Watch(line, model, tmp_path / "out", settle=0, poll=0.01, say=said.append)
        thread = threading.Thread(target=watch.run)
        thread.start()
        until(lambda: watch.status.paused)
        watch.stop()
        thread.join(60)
    assert "1 parts will be looked at again" in said[-1]
    assert once(tmp_path, model).good == 1


def test_a_broken_model_ends_it_and_names_the_parts(line, tmp_path, model) -> None:
    """A broken model ends it naming the parts and keeping what is known."""
    for i in range(3):
        (line / f"{i}.png").write_bytes(png(20))
    looked = model.stream

    def breaks(sources, *, batch_size=8):
        for i, verdict in enumerate(looked(sources, batch_size=batch_size)):
            if i == 2:
                raise RuntimeError("the graphics card is gone")
            yield verdict

    model.stream = breaks
    with pytest.raises(RuntimeError) as caught:
        once(tmp_path, model)
    assert caught.value.__notes__ == ["In hand: 2.png"]
    assert [entry["part"]["path"] for entry in lines(tmp_path / "out")] == ["0.png", "1.png"]


def test_a_score_that_is_no_number_is_an_error_not_a_verdict(line, tmp_path, model) -> None:
    from dataclasses import replace

    (line / "x.png").write_bytes(png(20))
    looked = model.stream
    model.stream = lambda sources, **more: (replace(v, score=float("nan")) for v in looked(sources, **more))
    assert once(tmp_path, model).error == 1
    assert "no number" in lines(tmp_path / "out")[0]["error"]


def test_a_part_taken_away_after_reading_keeps_its_verdict(line, tmp_path, model) -> None:
    """A part that is taken away after it was read keeps its verdict."""
    for name in ("x.png", "y.png"):
        (line / name).write_bytes(png(20))
    looked = model.stream

    def moved(sources, *, batch_size=8):
        for verdict in looked(sources, batch_size=batch_size):
            Path(verdict.key).unlink()
            yield verdict

    model.stream = moved
    said = []
    assert once(tmp_path, model, say=said.append, content_hash=True).good == 2
    assert all("No such file" in entry["note"] for entry in lines(tmp_path / "out"))
    assert not said


def test_content_hash(line, tmp_path, model) -> None:
    import hashlib

    (line / "x.png").write_bytes(png(20))
    once(tmp_path, model, content_hash=True)
    assert lines(tmp_path / "out")[0]["sha256"] == hashlib.sha256(png(20)).hexdigest()


def test_a_folder_that_goes_away_is_waited_for(line, tmp_path, model, start) -> None:
    said = []
    (line / "1.png").write_bytes(png(20))
    start(say=said.append)
    until(lambda: len(lines(tmp_path / "out")) == 1)
    line.rename(tmp_path / "away")
    until(lambda: said)
    (tmp_path / "away" / "2.png").write_bytes(png(20))
    (tmp_path / "away").rename(line)
    until(lambda: len(lines(tmp_path / "out")) == 2)
    assert "Waiting for it" in said[0]
    assert "can be listed again" in said[1]


def test_what_is_shown_is_on_the_disk(line, tmp_path, model) -> None:
    for i in range(30):
        (line / f"{i}.png").write_bytes(png(20))
    shown = []

    def show(entry) -> None:
        shown.append(entry)
        assert entry in lines(tmp_path / "out")

    once(tmp_path, model, show=show)
    assert shown == lines(tmp_path / "out")


def test_watching_needs_no_torch() -> None:
    code = (
        "import sys, blemish.watch, blemish.cli.watch\n"
        "print([m for m in ('torch', 'timm', 'jinja2', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
