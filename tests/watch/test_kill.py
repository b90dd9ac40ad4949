"""kill -9 at random moments, a restart each time: every file has exactly one line, and every reject its picture."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from blemish.imaging.images import Imaging
from parts import Parts, deface, stripes, write_png
from watched import lines, png, until

pytestmark = pytest.mark.slow

QUICK = """
import sys, time
sys.path.insert(0, sys.argv[4])
from watched import Brightness
from blemish.watch import Watch
class Slow(Brightness):
    def stream(self, sources, *, batch_size=8):
        for verdict in super().stream(sources, batch_size=batch_size):
            time.sleep(0.003)
            yield verdict
line, out, once = sys.argv[1:4]
watch = Watch(line, Slow(), out, settle=0.02, poll=0.02, give_up=60, rotate_bytes=20_000)
watch.run(once=once == "once")
"""


def processes(command: list[str], out: Path, kills: int, rng: random.Random) -> None:
    """Start, wait until there is a new line (or not even that), wait a random moment, kill."""
    for kill in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        before = written(out)
        if kill % 4:
            until(lambda: written(out) > before or process.poll() is not None)  # noqa: B023
        time.sleep(rng.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        print("killed at", written(out), "bytes of results")
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors.decode()


def written(out: Path) -> int:
    return sum(path.stat().st_size for path in out.glob("results*.jsonl") if path.exists())


def all_lines(out: Path) -> list[dict]:
    return [json.loads(line) for path in sorted(out.glob("results*.jsonl")) for line in path.read_text().splitlines()]


def check(line: Path, out: Path, names: set[str]) -> list[dict]:
    found = all_lines(out)
    assert sorted(entry["part"]["path"] for entry in found) == sorted(names)
    assert {p.relative_to(line).as_posix() for p in line.rglob("*.png")} == names
    pictures = {p.relative_to(out).as_posix() for p in (out / "overlays").rglob("*") if p.is_file()}
    assert pictures == {entry["overlay"] for entry in found if entry["verdict"] == "defective"}
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_many_kills_while_a_camera_writes(tmp_path) -> None:
    line, out = tmp_path / "line", tmp_path / "out"
    (line / "b").mkdir(parents=True)
    rng = random.Random(7)
    stop = threading.Event()
    names: set[str] = set()

    def camera() -> None:
        for i in range(5000):
            if stop.is_set():
                return
            name = f"{'b/' if i % 3 else ''}{i:04d}.png"
            content = png(220 if i % 4 == 0 else 20)
            with (line / name).open("wb", buffering=0) as stream:  # in two halves, with a pause between
                stream.write(content[:60])
                time.sleep(0.005)
                stream.write(content[60:])
            names.add(name)

    writing = threading.Thread(target=camera)
    writing.start()
    command, here = [sys.executable, "-c", QUICK, str(line), str(out)], str(Path(__file__).parent)
    try:
        processes([*command, "on", here], out, 12, rng)
    finally:
        stop.set()
        writing.join()
    subprocess.run([*command, "once", here], check=True, timeout=120)
    found = check(line, out, names)
    assert {entry["verdict"] for entry in found} == {"good", "defective"}


@pytest.fixture(scope="module")
def padim(tmp_path_factory) -> Path:
    from blemish.inference.calibration import from_good
    from blemish.inference.inspector import Inspector
    from blemish.models import PaDiM

    size = (64, 64)
    inspector = Inspector(PaDiM(dims=8).fit(Parts(stripes(24, size, seed=0))), Imaging(size=size))
    raws = [raw for _, raw in inspector.raw([i.permute(1, 2, 0).numpy() for i in stripes(40, size, seed=1)])]
    inspector.calibration = from_good([r.score for r in raws], 0.05, pixel_peaks=[float(r.map.max()) for r in raws])
    return inspector.save(tmp_path_factory.mktemp("padim") / "m.safetensors")


@pytest.fixture(scope="module")
def line(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("line")
    good, bad = stripes(80, (96, 64), seed=5), deface(stripes(40, (96, 64), seed=6), seed=7)[0]
    for i, image in enumerate([*good, *bad]):
        write_png(folder / f"{'sub/' if i % 2 else ''}{i:03d}.png", image)
    (folder / "broken.png").write_bytes(b"\x89PNG")
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_the_killed_command_says_what_the_inspector_says(padim, line, tmp_path) -> None:
    """The command killed and restarted says what the inspector says."""
    import hashlib

    from blemish.inference.inspector import Inspector

    out = tmp_path / "out"
    command = [sys.executable, "-m", "blemish", "watch", str(line), "--model", str(padim), "--out", str(out)]
    command += ["--settle", "0.1", "--batch-size", "4", "--give-up", "0.5"]
    processes(command, out, 3, random.Random(3))
    done = subprocess.run([*command, "--once", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == (2 if '"error"' in done.stdout else 1 if '"defective"' in done.stdout else 0), done.stderr
    names = {p.relative_to(line).as_posix() for p in line.rglob("*.png")}
    found = {entry["part"]["path"]: entry for entry in check(line, out, names)}
    inspector = Inspector.load(padim)
    for verdict in inspector.inspect(line):
        entry = found[Path(verdict.key).relative_to(line).as_posix()]
        assert entry["model"] == hashlib.sha256(padim.read_bytes()).hexdigest()
        expected = verdict.as_dict()
        assert entry["verdict"] == expected["verdict"]
        if verdict.error is None:
            assert entry["score"] == pytest.approx(expected["score"], rel=1e-4)
            assert [r["box"] for r in entry["regions"]] == [r["box"] for r in expected["regions"]]
    assert sum(entry["verdict"] == "defective" for entry in found.values()) >= 30
    assert subprocess.run([*command, "--once"], capture_output=True, check=False).returncode == 0
    assert len(lines(out)) == len(names)
