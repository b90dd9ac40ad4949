"""The runner: nothing lost, nothing done twice, whatever is killed, stopped or fails; processes and crashes kept apart."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest

from blemish.benchmark.backends import LocalBackend
from blemish.benchmark.measure import measure
from blemish.benchmark.process import measured
from blemish.benchmark.reading import parse
from blemish.benchmark.results import read_cells
from blemish.benchmark.runner import Runner
from blemish.core.errors import FormatError, InputError, StorageError
from grids import cells, tiny


class Counting:
    """A place that computes nothing: it counts who asks, and answers when it is told to."""

    def __init__(self, slots: int = 1, answer=lambda task: {"metrics": {}, "failed": None}) -> None:
        self.slots, self.answer = slots, answer
        self.asked: list[str] = []
        self.closed = False

    def submit(self, task) -> Future:
        self.asked.append(task["cell"]["seed"])
        future: Future = Future()
        try:
            future.set_result(self.answer(task))
        except RuntimeError as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        self.closed = True


def test_every_cell_is_done_once(tmp_path) -> None:
    """Every cell is done once and what is there is not done again."""
    grid = cells(tmp_path, seeds=[0, 1, 2])
    place = Counting(slots=2)
    found = list(Runner(grid, tmp_path / "out", place))
    assert place.asked == [0, 1, 2]
    assert place.closed
    written = read_cells(tmp_path / "out").cells
    assert [cell.asked for cell in written] == sorted((r["cell"] for r in found), key=lambda c: c["seed"])
    assert list((tmp_path / "out" / "claims").iterdir()) == []
    again, more = Counting(), cells(tmp_path, seeds=[0, 1, 2, 3])
    runner = Runner(more, tmp_path / "out", again)
    assert (runner.before, runner.total) == (3, 4)
    assert [r["cell"]["seed"] for r in runner] == [0, 1, 2, 3]
    assert again.asked == [3]


def test_results_do_not_say_where_the_images_were(tmp_path) -> None:
    """Results can be passed on for they do not say where the images lay."""
    asked = []

    def noted(task):
        asked.append(task["cell"]["source"]["root"])
        return {"metrics": {}, "failed": None}

    list(Runner(cells(tmp_path), tmp_path / "out", Counting(answer=noted)))
    assert asked == [str(tmp_path / "parts")], "whoever measures must know"
    (file,) = (tmp_path / "out" / "cells").iterdir()
    assert str(tmp_path) not in file.read_text()
    (kept,) = read_cells(tmp_path / "out").cells
    assert kept.asked["source"]["root"] == "parts"


def test_failures_are_kept_and_retried_when_asked(tmp_path) -> None:
    """Failures are kept the rest goes on and they are retried when asked."""

    def fails(task):
        if task["cell"]["seed"] == 1:
            raise RuntimeError("no such luck")
        return {"metrics": {}, "failed": None}

    grid = cells(tmp_path, seeds=[0, 1, 2])
    found = list(Runner(grid, tmp_path / "out", Counting(answer=fails)))
    assert [bool(r["failed"]) for r in found] == [False, True, False]
    assert found[1]["failed"]["error"] == "RuntimeError: no such luck"
    assert Counting().asked == []
    untouched, retried = Counting(), Counting(answer=fails)
    assert len(list(Runner(grid, tmp_path / "out", untouched))) == 3
    assert untouched.asked == []
    found = list(Runner(grid, tmp_path / "out", retried, retry_failed=True))
    assert retried.asked == [1]
    assert found[-1]["tries"] == 2
    assert not any(r["failed"] for r in Runner(grid, tmp_path / "out", Counting(), retry_failed=True))


def test_the_time_left_is_that_of_the_methods_which_are_left(tmp_path) -> None:
    def lasts(task):
        if task["cell"]["seed"] == 3:
            return {"metrics": {}, "stamps": {}, "failed": {"error": "broken"}}
        return {
            "metrics": {},
            "stamps": {"seconds": 10.0 if task["cell"]["method"] == "padim" else 100.0},
            "failed": None,
        }

    def grid(methods, seeds):
        return parse({**tiny(tmp_path), "methods": methods, "seeds": seeds, "params": {}}).cells(tmp_path)

    both = grid(["padim", "patchcore"], [0, 1, 2])
    runner = Runner(both, tmp_path / "out", Counting(answer=lasts))
    assert runner.left() is None
    said = [runner.left() for _ in runner]  # padim and patchcore by turns: the first stands for both
    assert said == [50.0, 220.0, 210.0, 110.0, 100.0, 0.0]
    more = Runner([*both, *grid(["padim"], [3, 4])], tmp_path / "out", Counting(slots=2, answer=lasts))
    running = iter(more)
    for _ in range(6):  # what was there before tells how long the rest will take, on two slots
        next(running)
    assert more.left() == 10.0
    assert len(list(running)) == 2
    assert more.left() == 0.0


def test_detectors_are_kept_for_cells_that_share_them(tmp_path) -> None:
    """Detectors are kept for the cells that test the same one."""
    robust = [{"kind": "robustness", "change": "blur", "strength": [1, 2]}, {"kind": "few-shot", "k": 2}]
    grid = parse({**tiny(tmp_path), "protocols": robust}).cells(tmp_path)
    asked = {}
    answer = lambda task: asked.update({task["cell"]["protocol"]: task["keep"]}) or {"metrics": {}, "failed": None}  # noqa: E731
    list(Runner(grid, tmp_path / "out", Counting(answer=answer)))
    assert asked == {"robustness-blur-1": True, "robustness-blur-2": True, "few-shot-2": False}


def test_one_cell_fits_a_shared_detector_and_the_others_wait(tmp_path) -> None:
    robust = [{"kind": "robustness", "change": "blur", "strength": [1, 2, 3]}, {"kind": "few-shot", "k": 2}]
    grid = parse({**tiny(tmp_path), "protocols": robust}).cells(tmp_path)
    together: list[list[str]] = []

    class Fitting(Counting):
        def submit(self, task):
            together.append([cell.protocol.name for cell in runner.flying.values()])
            return super().submit(task)

    runner = Runner(grid, tmp_path / "out", Fitting(slots=4))
    assert len(list(runner)) == 4
    assert together[:2] == [[], ["robustness-blur-1"]]  # the second is few-shot, which fits another detector
    assert all(sum(name.startswith("robustness") for name in flying) <= 1 for flying in together)
    assert not list((tmp_path / "out" / "claims").glob("fit-*"))


def test_leaving_early_leaves_no_claim_and_no_half(tmp_path) -> None:
    grid = cells(tmp_path, seeds=[0, 1, 2])
    place = Counting(slots=3)
    with closing(iter(Runner(grid, tmp_path / "out", place))) as running:
        next(running)
    assert place.closed
    assert list((tmp_path / "out" / "claims").iterdir()) == []
    assert len(read_cells(tmp_path / "out").cells) in (1, 2, 3)
    rest = Counting()
    assert len(list(Runner(grid, tmp_path / "out", rest))) == 3


def test_two_runners_share_a_folder_and_both_see_all_results(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("blemish.benchmark.runner.POLL", 0.01)
    grid = cells(tmp_path, seeds=list(range(12)))
    places = [Counting(), Counting()]
    found: list[list[int]] = []

    def work(place: Counting) -> None:
        found.append(sorted(r["cell"]["seed"] for r in Runner(grid, tmp_path / "out", place)))

    threads = [threading.Thread(target=work, args=(place,)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [list(range(12))] * 2
    assert sorted(places[0].asked + places[1].asked) == list(range(12))


def test_foreign_files_and_unwritable_folders_are_reported(tmp_path) -> None:
    """A foreign file and a folder that cannot be written are said."""
    (cell,) = cells(tmp_path)
    cell.path(tmp_path / "out").parent.mkdir(parents=True)
    for foreign in ("{}", "[]", "3", "null"):
        cell.path(tmp_path / "out").write_text(foreign)
        with pytest.raises(FormatError, match="is not a result of this benchmark"):
            Runner([cell], tmp_path / "out", Counting())
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        list(Runner([cell], tmp_path / "file", Counting()))
    with pytest.raises(InputError, match="jobs is 0"):
        LocalBackend(0)


def without_times(result: dict) -> dict:
    return {key: result[key] for key in ("metrics", "scores", "decisions", "by_category", "failed")}


def task(cell, **more) -> dict:
    return {"cell": cell.as_dict(), "device": "cpu", "features": None, "fitted": None, "keep": True, **more}


@pytest.mark.slow
def test_a_process_of_its_own_measures_the_same(tmp_path) -> None:
    """A process of its own measures the same and prints nothing between."""
    (cell,) = cells(tmp_path)
    processes: list[subprocess.Popen[bytes]] = []
    found = measured(task(cell), threads=1, started=processes.append)
    assert processes[0].returncode == 0  # it ends in order, whatever still watches its input
    assert without_times(found) == without_times(json.loads(json.dumps(measure(cell))))


@pytest.mark.slow
def test_what_goes_wrong_in_a_process_is_a_result(tmp_path) -> None:
    (cell,) = cells(tmp_path, params={"patchcore": {"coreset_sampling_ratio": 2.0}})
    found = measured(task(cell))
    assert "coreset_sampling_ratio" in found["failed"]["error"]
    assert "Traceback" in found["failed"]["traceback"]
    late = measured(task(cell), limit=0.05)
    assert late["failed"]["error"] == "not done after 0.05 seconds"
    killed = measured(task(cell), started=lambda process: process.kill())
    assert "SIGKILL" in killed["failed"]["error"]


RUN = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from blemish.benchmark.backends import LocalBackend
from blemish.benchmark.runner import Runner
from grids import cells
folder = Path(sys.argv[1])
for result in Runner(cells(folder, seeds=[0, 1, 2]), folder / "out", LocalBackend(1)):
    print(result["cell"]["seed"], flush=True)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    command = [sys.executable, "-c", RUN, str(folder), str(here), str(here.parent)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(number) for task in tasks for number in task.read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_or_stopped_runner_resumes(tmp_path, how) -> None:
    """A runner that is killed or stopped goes on where it was."""
    tiny(tmp_path)
    with start(tmp_path) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "0\n"
        while not (workers := children(runner.pid)):
            time.sleep(0.01)
        runner.send_signal(how)
        runner.wait()
    for worker in workers:  # its cell ends with it
        while Path(f"/proc/{worker}").exists():
            time.sleep(0.05)
    done = {path.name: path.read_bytes() for path in (tmp_path / "out" / "cells").iterdir()}
    assert 1 <= len(done) < 3
    assert all(json.loads(content)["failed"] is None for content in done.values())
    assert bool(list((tmp_path / "out" / "claims").glob("*.1"))) is (how == signal.SIGKILL)
    with start(tmp_path) as again:
        out, errors = again.communicate()
    assert sorted(out.split()) == ["0", "1", "2"], errors
    after = {path.name: path.read_bytes() for path in (tmp_path / "out" / "cells").iterdir()}
    assert len(after) == 3
    assert done.items() <= after.items()  # what was there is untouched
    assert not list((tmp_path / "out" / "claims").glob("*.[0-9]*"))
    assert not list((tmp_path / "out" / "cells").glob(".*"))


@pytest.mark.slow
def test_jobs_run_side_by_side_with_the_same_results(tmp_path) -> None:
    grid = cells(tmp_path, seeds=[0, 1])
    found = sorted(Runner(grid, tmp_path / "out", LocalBackend(2)), key=lambda r: r["cell"]["seed"])
    assert [without_times(r) for r in found] == [without_times(json.loads(json.dumps(measure(cell)))) for cell in grid]
    assert os.environ.get("OMP_NUM_THREADS") == "1"
    assert (tmp_path / "out" / "features" / "maps").is_dir()


@pytest.mark.slow
def test_nothing_is_imported_from_the_working_folder(tmp_path, monkeypatch) -> None:
    """Nothing is imported from the folder in which the command is run."""
    (tmp_path / "json.py").write_text("raise SystemExit('a file of the folder was run')")
    monkeypatch.chdir(tmp_path)
    found = measured({"cell": {}, "device": "cpu", "features": None, "fitted": None})
    assert "a file of the folder was run" not in found["failed"]["traceback"]
    assert found["failed"]["error"].startswith("KeyError")
