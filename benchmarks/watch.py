"""What it costs to watch a folder of many finished files: a sweep, a start, memory. No model is involved.

python benchmarks/watch.py [--files 100000] [--place FOLDER]: makes empty files there and removes them again.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from blemish.watch import FileState
from blemish.watch.backlog import Backlog
from blemish.watch.find import Sweep, chooser
from blemish.watch.journal import Journal


def memory() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def timed(work: Any, times: int = 1) -> tuple[float, float]:
    """Return the median seconds by the clock and of this process's own work: on a busy machine the two differ."""
    taken, worked = [], []
    for _ in range(times):
        start, own = time.perf_counter(), time.process_time()
        work()
        taken.append(time.perf_counter() - start)
        worked.append(time.process_time() - own)
    return round(sorted(taken)[times // 2], 4), round(sorted(worked)[times // 2], 4)


def line(part: FileState) -> dict[str, Any]:
    region = {"box": [10, 20, 30, 40], "area": 300, "peak": 1.25, "peak_at": [15, 25]}
    verdict = {"key": f"/line/{part.path}", "verdict": "defective", "score": 1.2, "p_value": 0.01, "threshold": 1.0}
    return {"part": part._asdict(), "time": "2026-01-01T00:00:00.000+00:00", **verdict, "regions": [region] * 2}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--files", type=int, default=100_000)
    asked.add_argument("--place", type=Path, default=None)
    given = asked.parse_args()
    found: dict[str, Any] = {"files": given.files}
    with tempfile.TemporaryDirectory(dir=given.place) as name:
        folder, out = Path(name) / "line", Path(name) / "out"
        folder.mkdir()
        journal = Journal(out, say=print)
        for i in range(given.files):
            path = folder / f"part_{i:07d}.png"
            path.touch()
            part = FileState.of(path.name, path.stat())
            journal.add(part, line(part))
            if i % 1000 == 0:
                journal.commit()
        journal.commit()
        journal.close()
        found["results_MB"] = round((out / "results.jsonl").stat().st_size / 1e6, 1)
        before = memory()
        found["open_journal_s"] = timed(lambda: Journal(out, say=print))
        journal = Journal(out, say=print)
        sweep = Sweep(folder, out, Backlog(1.0, 30.0), journal.__contains__, chooser(()), 0, print)
        found["first_sweep_s"] = timed(sweep)
        found["sweep_s"] = timed(sweep, 7)
        found["memory_MB"] = round(memory() - before, 1)
        found["list_only_s"] = timed(lambda: [entry.name for entry in folder.iterdir()], 3)
        found["stat_all_s"] = timed(lambda: [entry.stat() for entry in folder.iterdir()], 3)
        found["commit_s"] = timed(lambda: _commit(journal), 21)
        journal.close()
    found["peak_memory_MB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    print(json.dumps(found, indent=2))


def _commit(journal: Journal) -> None:
    part = FileState(f"new_{time.perf_counter_ns()}", 1, 1)
    journal.add(part, line(part))
    journal.commit()


if __name__ == "__main__":
    main()
