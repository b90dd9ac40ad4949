"""What the side-by-side benchmarks share: options, images, the rival's process, medians, peak memory, rows.

A benchmark measures ours in its own process and the rival's in another, started with the Python that --rival names: an
environment of its own with anomalib==2.7.0. Both get the same arrays and the same weights, from files. Without --rival only
ours (and a plain way, where there is one) is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish.core import registry
from blemish.core.environment import environment
from blemish.core.files import write_json
from blemish.data import synthetic
from blemish.features import Features, extractor
from processor import processor

Images = NDArray[np.float32]


@dataclass(frozen=True)
class Row:
    """One comparison. `ours` and `rival` are in `unit`; the ratio is rival / ours, so that more is better."""

    work: str
    ours: float
    rival: float | None
    unit: str
    goal: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times ours goes into the rival's."""
        return None if self.rival is None else self.rival / self.ours


@dataclass
class Options:
    """What was given on the command line."""

    data: Path | None
    weights: Path | None
    rival: str | None
    out: Path | None
    repeats: int


def options(doc: str | None) -> Options:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="folder of hazelnut_toy, piped_paper, magnetic_tile (else made images)"
    )
    parser.add_argument(
        "--weights", type=Path, help="mobilenetv2_100.safetensors (else the embedded backbone, ours only)"
    )
    parser.add_argument("--rival", help="the Python of an environment with anomalib==2.7.0")
    parser.add_argument("--out", type=Path, help="JSON file for the rows")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the median counts (default 5)")
    given = parser.parse_args()
    if given.rival and not given.weights:
        parser.error("the rival needs --weights: both sides must use the same")
    return Options(**vars(given))


def finish(rows: list[Row], given: Options) -> None:
    """Print the rows, and write them where --out says."""
    for row in rows:
        against = "" if row.rival is None else f"  rival {row.rival:10.3f} {row.unit}  ratio {row.ratio:8.1f}"
        print(f"{row.work:<78} ours {row.ours:10.3f} {row.unit}{against}  {row.note}", flush=True)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        found = [{**asdict(row), "ratio": row.ratio} for row in rows]
        made = {"environment": environment(), "processor": processor(), "threads": torch.get_num_threads()}
        write_json(given.out, {"rows": found, **made})


def backbone(given: Options) -> Features:
    """MobileNetV2 with the given weights, or the embedded network."""
    if given.weights is None:
        return extractor("texnet_s", [8, 16])
    return extractor("mobilenetv2_100", [8, 16], weights=str(given.weights))


def images(given: Options, name: str, count: int, size: int = 256) -> Images:
    """Return `count` good images, (N, 3, size, size) in [0, 1]; of a smaller set the same again, slightly darker."""
    if given.data is None:
        root = synthetic.make(Path("runs/bench/images"), train=60)
        data = registry.dataset("synthetic")(root, "fabric", image_size=size, holdout=0.0)
    elif name == "magnetic_tile":
        data = registry.dataset("magnetic_tile")(given.data / name, image_size=size, holdout=0.0)
    else:
        folder = given.data / ("piped_paper/" + name if name.startswith("piped") else name)
        data = registry.dataset("folder")(folder, image_size=size, holdout=0.0)
    records = data.train_records
    held: list[Images] = []
    for i in range(count):
        image = data.imaging(records[i % len(records)].image).transpose(2, 0, 1)
        held.append(image * np.float32(1 - 0.02 * (i // len(records))))
    return np.stack(held)


def patches(net: Features, given: Images) -> Tensor:
    """Return the patches of images as PatchCore describes them, (N, C)."""
    from blemish.models import PatchCore

    model = PatchCore(pretrained=False)
    model.features = net
    with torch.inference_mode():
        found = [model.describe(some)[0].flatten(0, 2) for some in torch.from_numpy(given).split(8)]
    return torch.cat(found).clone()


def seconds(work: Callable[[], Any], repeats: int, warm: bool = True) -> float:
    """Return the median wall time of several runs, after one that does not count."""
    if warm:
        work()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return float(np.median(times))


def by_turns(works: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Return the median wall time of each of several works, done by turns: a machine that slows down slows all of them."""
    for work in works:
        work()
    rounds = [[seconds(work, 1, warm=False) for work in works] for _ in range(repeats)]
    return [float(np.median(times)) for times in zip(*rounds, strict=True)]


def rival(given: Options, work: str, arrays: dict[str, Any], **settings: Any) -> dict[str, Any] | None:
    """Let the rival do `work` (a function of rival_side.py) on arrays and settings; None without --rival."""
    if given.rival is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        for name, value in arrays.items():
            np.save(Path(folder) / f"{name}.npy", value)
        settings = {
            "weights": str(given.weights and given.weights.resolve()),
            "threads": torch.get_num_threads(),
            **settings,
        }
        (Path(folder) / "settings.json").write_text(json.dumps(settings))
        script = Path(__file__).with_name("rival_side.py")
        quiet = {**os.environ, "TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"}
        quiet.pop("PYTHONPATH", None)
        found = subprocess.run(
            [given.rival, str(script), work, folder], capture_output=True, text=True, env=quiet, check=False, cwd=folder
        )
        if found.returncode:
            raise SystemExit(f"the rival failed at {work}:\n{found.stderr[-3000:]}")
        result: dict[str, Any] = json.loads(found.stdout.strip().splitlines()[-1])
        for name in result.pop("arrays", []):
            result[name] = np.load(Path(folder) / f"{name}.npy")
        return result


@contextmanager
def peak() -> Iterator[list[float]]:
    """Put into the list how many MB the resident memory of this process rose above its start (Linux)."""
    clear, found = Path("/proc/self/clear_refs"), [0.0]
    clear.write_text("5")
    before = _status("VmRSS")
    yield found
    found[0] = _status("VmHWM") - before


def _status(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0


def alone(code: str, *arguments: str) -> dict[str, Any]:
    """Run code in a fresh process of this Python and return the JSON that it prints last."""
    found = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(found.stdout.strip().splitlines()[-1])
    return result
