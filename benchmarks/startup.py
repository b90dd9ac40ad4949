"""Start-up: importing, the command's help, and the first verdict on one image from the command line, in fresh processes.

python benchmarks/startup.py --rival PYTHON --weights mobilenetv2_100.safetensors
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from blemish.data import synthetic
from side_by_side import Row, finish, options, seconds


def run(*command: str) -> None:
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
    found = subprocess.run(command, check=False, capture_output=True, env=quiet, text=True)
    verdict = found.returncode in (1, 2) and "inspect" in command  # some defective, some not decided
    if found.returncode and not (verdict and found.stdout):
        raise SystemExit(f"{command} failed:\n{found.stderr[-2000:]}")


def main() -> None:
    given = options(__doc__)
    blemish = str(Path(sys.executable).with_name("blemish"))
    with tempfile.TemporaryDirectory() as folder:
        root = synthetic.make(Path(folder) / "images", categories=["fabric"], train=20)
        run(blemish, "fit", str(root / "fabric"), "--out", str(Path(folder) / "runs"))
        model = str(next((Path(folder) / "runs").rglob("model.safetensors")))
        part = str(next((root / "fabric" / "test" / "good").glob("*.png")))
        ours = {
            "import": seconds(lambda: run(sys.executable, "-c", "import blemish"), given.repeats),
            "help": seconds(lambda: run(blemish, "--help"), given.repeats),
            "inspect": seconds(lambda: run(blemish, "inspect", model, part), given.repeats),
        }
    theirs: dict[str, float | None] = {"import": None, "help": None}
    if given.rival:
        anomalib = str(Path(given.rival).with_name("anomalib"))
        theirs["import"] = seconds(lambda: run(given.rival, "-c", "import anomalib.models"), 3)
        theirs["help"] = seconds(lambda: run(anomalib, "--help"), 3)
    rows = [
        Row("import blemish (rival: import anomalib.models)", ours["import"], theirs["import"], "s", "< 0.3 s"),
        Row("blemish --help", ours["help"], theirs["help"], "s", "< 0.5 s"),
        Row("blemish inspect MODEL IMAGE, cold", ours["inspect"], None, "s"),
    ]
    finish(rows, given)


if __name__ == "__main__":
    main()
