"""A model on the line beside the rival's: installed size, cold start, latency of one image at a time, and what it finds.

    python benchmarks/line.py --data CATEGORY --weights mobilenetv2_100.safetensors [--rival PYTHON] [--page FILE]

CATEGORY is a folder in MVTec's layout whose images are all of one size, with masks. Both sides: PatchCore on MobileNetV2
with the same weights, layers and memories, equation 7's weight, 256 px. Ours runs in a fresh environment with the core of
blemish alone (built here by pip), the rival's OpenVINOInferencer in its own, which needs openvino, nncf, onnx and
onnxscript besides anomalib==2.7.0. Both sides take turns, block by block. --work keeps the models, and takes those that
it holds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx

from blemish import metrics
from blemish.core.environment import environment
from blemish.core.files import read_json, write_json, write_text
from blemish.data import Folder
from blemish.engine import Engine
from blemish.evaluation.evaluate import truth_mask
from blemish.export import export
from blemish.export.graph import describe, to_onnx
from blemish.export.parity import compare
from blemish.export.precision import quantised
from blemish.inference.inspector import Inspector
from blemish.inference.runtime import Runtime
from blemish.models import PatchCore
from line_page import page
from line_profile import kinds
from line_sizes import core_environment, rival_size, sizes
from processor import processor

HERE = Path(__file__).parent
SIZE, RATIO = (256, 256), 0.1
BLOCK, ROUNDS = 20, 10  # images one after another before the next side's turn, and turns
STARTS = 5
ALLOWED = (
    0.1  # layers of int8 stay in float32 until scores and maps of good and damaged parts change by no more than this
)
QUIET = {**os.environ, "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
for name in ("PYTHONPATH", "OMP_NUM_THREADS"):  # each side as it comes
    QUIET.pop(name, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="category in MVTec's layout, images of one size")
    parser.add_argument("--weights", type=Path, required=True, help="mobilenetv2_100.safetensors")
    parser.add_argument("--rival", help="the Python of the rival's environment")
    parser.add_argument("--work", type=Path, help="folder for the models [default: one that is removed]")
    parser.add_argument("--out", type=Path, help="JSON file for what was measured")
    parser.add_argument("--note", default="", help="what the page should say of the machine")
    parser.add_argument("--page", type=Path, help="page to write, Markdown")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        work = (given.work or Path(made)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        found = measure(given, work, Path(made))
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(given.out, found)
    text = page(found)
    print(text)
    if given.page:
        write_text(given.page, text)


def measure(given: argparse.Namespace, work: Path, made: Path) -> dict[str, Any]:
    data = Folder(given.data, image_size=SIZE)
    records = data.test_records
    shapes = {cv2.imread(str(record.image), cv2.IMREAD_UNCHANGED).shape[:2] for record in data.records}
    if len(shapes) > 1:
        raise SystemExit(
            f"{given.data} holds images of several sizes, {sorted(shapes)}: the rival's file is exported for one"
        )
    image = shapes.pop()
    models = ours(data, given.weights, work)
    theirs = rival(given, work, image)
    core, openvino = made / "core", made / "openvino"
    core_environment(core, "")
    core_environment(openvino, "[openvino]")
    found: dict[str, Any] = {
        "data": given.data.name,
        "image": image,
        "environment": environment(),
        "processor": processor(),
        "note": given.note,
        "cores": os.cpu_count(),
        "bank": int(models["bank"]),
        "rival": theirs,
        "sizes": {"core": sizes([core]), "openvino": sizes([openvino])},
        "files": {name: Path(models[name]).stat().st_size / 1e6 for name in ("fp32", "int8")},
        "parity": models["parity"],
    }
    if theirs:
        found["sizes"]["rival"] = rival_size(given.rival)
    files = [str(record.image) for record in records]
    found["load"] = [os.getloadavg()[0]]
    found["cold"] = cold(core, models, given.rival, theirs, files[0], made)
    found["load"].append(os.getloadavg()[0])
    sides = {
        "ours, fp32, ONNX Runtime": our_side(core, models["fp32"], "onnxruntime"),
        "ours, fp32, OpenVINO": our_side(openvino, models["fp32"], "openvino"),
        "ours, int8, ONNX Runtime": our_side(core, models["int8"], "onnxruntime"),
    }
    if theirs:
        sides["rival, fp32, OpenVINO"] = rival_side(given.rival, theirs["fp32"], "f32")
        sides["rival, as it comes, OpenVINO"] = rival_side(given.rival, theirs["fp32"], "default")
        if "int8" in theirs:
            sides["rival, int8, OpenVINO"] = rival_side(given.rival, theirs["int8"], "default")
    found["sides"] = side_by_side(sides, files, records, made)
    found["load"].append(os.getloadavg()[0])
    found["kinds"] = {name: kinds(models[name], SIZE) for name in ("fp32", "int8")}
    return found


def ours(data: Folder, weights: Path, work: Path) -> dict[str, Any]:
    """Fit, export in fp32 and int8; return the files, the size of the bank, and both parity reports."""
    places = {name: work / f"{name}.onnx" for name in ("fp32", "int8")}
    count = int(RATIO * (SIZE[0] // 8) * (SIZE[1] // 8) * len([r for r in data.records if r.split == "train"]))
    if not all(place.exists() for place in places.values()):
        model = PatchCore("mobilenetv2_100", [8, 16], str(weights), coreset_size=count, reweight="paper")
        inspector = Engine(work / "runs").fit(model=model, datamodule=data)
        np.save(work / "bank.npy", model.bank.numpy())
        parity = export(inspector, places["fp32"], images=[r.image for r in data.test_records], test=data.test_records)
        write_json(work / "parity.json", {"fp32": parity.as_dict(), "int8": small(inspector, places["int8"], data)})
    return {
        **{name: str(place) for name, place in places.items()},
        "bank": count,
        "parity": read_json(work / "parity.json"),
    }


def small(inspector: Inspector, place: Path, data: Folder) -> dict[str, Any]:
    """Write the int8 file whatever it answers, and return how far that is off on the test parts."""
    good = [data.imaging(record.image).transpose(2, 0, 1) for record in data.train_records[:32]]
    model, kept = quantised(to_onnx(inspector), good, ALLOWED)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, describe(inspector, "int8").as_texts())
    onnx.save(model, place)
    score, map, changed = compare(inspector, Runtime(place), [record.image for record in data.test_records])
    assert map is not None
    return {"score": score.relative, "map": map.relative, "changed": len(changed or ()), "kept": kept}


def rival(given: argparse.Namespace, work: Path, image: tuple[int, int]) -> dict[str, Any]:
    """Let the rival export, with our memories; return its files, or nothing without it."""
    if not given.rival:
        return {}
    kept = work / "rival.json"
    if not kept.exists():
        settings = {
            "data": str(given.data.resolve()),
            "weights": str(given.weights.resolve()),
            "bank": str(work / "bank.npy"),
            "out": str(work / "rival"),
            "size": SIZE,
            "image": image,
        }
        write_json(work / "settings.json", settings)
        write_json(kept, answer([given.rival, str(HERE / "rival_line.py"), "make", str(work / "settings.json")], work))
    return dict(read_json(kept))


def answer(command: list[str], folder: Path, *, allowed: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """Run a command that prints JSON last; return it."""
    done = subprocess.run(command, capture_output=True, text=True, env=QUIET, cwd=folder, check=False)
    if done.returncode not in allowed:
        raise SystemExit(f"{command} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


RUNTIME = """
import json, sys
from blemish.inference.runtime import Runtime
print(json.dumps({"defective": Runtime(sys.argv[1]).inspect(sys.argv[2]).defective}))
"""


def cold(
    core: Path, models: dict[str, Any], python: str | None, theirs: dict[str, Any], image: str, folder: Path
) -> dict[str, list[float]]:
    """Return the seconds from the start of a process to its end, with one decision, sides taking turns."""
    own = str(core / "bin" / "python")
    commands = {
        "ours, Runtime": [own, "-c", RUNTIME, models["fp32"], image],
        "ours, blemish inspect": [str(core / "bin" / "blemish"), "inspect", models["fp32"], image, "--json"],
    }
    if python:
        commands["rival"] = [python, str(HERE / "rival_line.py"), "cold", theirs["fp32"], image]
    found: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(STARTS + 1):
        for name, command in commands.items():
            begun = time.perf_counter()
            answer(command, folder, allowed=(0, 1))  # 1: the part is defective
            if turn:  # files are read from the disk and the rival fills its cache once
                found[name].append(time.perf_counter() - begun)
    return found


def our_side(place: Path, model: str, engine: str) -> list[str]:
    return [str(place / "bin" / "python"), str(HERE / "line_ours.py"), model, engine]


def rival_side(python: str, model: str, precision: str) -> list[str]:
    return [python, str(HERE / "rival_line.py"), "serve", model, precision]


class Side:
    """A process that waits for questions, one line of JSON each."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=QUIET, cwd=folder, text=True
        )
        self.about = self._read()

    def ask(self, **question: Any) -> dict[str, Any]:
        """Return the answer to one question."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End it."""
        self.process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended")
        return dict(json.loads(line))


def side_by_side(commands: dict[str, list[str]], files: list[str], records: Any, folder: Path) -> dict[str, Any]:
    """Time all sides in turns, then let each answer all test parts and measure what it finds."""
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        sides = {}
        for name, command in commands.items():
            sides[name] = Side(command, folder)
            stack.callback(sides[name].close)
        times: dict[str, dict[str, list[float]]] = {name: {"whole": [], "alone": []} for name in sides}
        for turn in range(ROUNDS + 1):
            some = [files[(turn * BLOCK + i) % len(files)] for i in range(BLOCK)]
            for name, side in sides.items():
                taken = side.ask(time=some)
                if turn:  # the first turn warms up
                    for key, values in taken.items():
                        times[name][key] += values
        for name, side in sides.items():
            place = folder / "answers.npz"
            side.ask(answer=files, to=str(place))
            timed = {
                key: {"p50": float(np.percentile(values, 50)), "p90": float(np.percentile(values, 90))}
                for key, values in times[name].items()
            }
            found[name] = {**timed, "images": len(times[name]["whole"]), **quality(place, records), **side.about}
    return found


def quality(answers: Path, records: Any) -> dict[str, Any]:
    """Return the image AUROC, the AUPRO at the images' own size, and how many parts are called wrongly."""
    with np.load(answers) as held:
        scores, maps, called = held["scores"], held["maps"], held["defective"]
    labels = np.array([record.label for record in records])
    masks, restored = [], []
    for record, map in zip(records, maps, strict=True):
        height, width = cv2.imread(str(record.image), cv2.IMREAD_UNCHANGED).shape[:2]
        mask = truth_mask(record, (height, width))
        if mask is None and record.label:
            continue  # a defect that nobody has drawn
        masks.append(np.zeros((height, width), bool) if mask is None else mask)
        restored.append(cv2.resize(map.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))
    return {
        "image_AUROC": metrics.auroc(labels, scores.astype(np.float64)),
        "AUPRO": metrics.aupro(restored, masks),
        "escapes": int(((labels == 1) & ~called).sum()),
        "false_rejects": int(((labels == 0) & called).sum()),
        "bad": int(labels.sum()),
        "good": int((labels == 0).sum()),
    }


if __name__ == "__main__":
    main()
