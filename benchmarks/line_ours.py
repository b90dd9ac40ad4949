"""Our side of benchmarks/line.py: runs in the environment of a line PC, the core of blemish alone.

python line_ours.py MODEL ENGINE: answers each line of JSON on its input with one on its output, see `main`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from blemish.inference.runtime import Runtime


def milliseconds(work: Any, value: Any) -> float:
    begun = time.perf_counter()
    work(value)
    return 1e3 * (time.perf_counter() - begun)


def main() -> None:
    """{"time": [files]}: milliseconds, whole and scoring alone. {"answer": [files], "to": file}: scores, maps."""
    runtime = Runtime(sys.argv[1], engine=sys.argv[2])
    runtime.warm_up()
    print("{}", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "time" in asked:
            found: dict[str, list[float]] = {"whole": [], "alone": []}
            for file in asked["time"]:
                found["whole"].append(milliseconds(runtime.inspect, file))
                found["alone"].append(milliseconds(runtime.score, runtime.imaging(file)[None]))
            print(json.dumps(found), flush=True)
        else:
            verdicts = [runtime.inspect(file) for file in asked["answer"]]
            np.savez(
                Path(asked["to"]),
                scores=np.array([verdict.score for verdict in verdicts]),
                maps=np.stack([verdict.map for verdict in verdicts if verdict.map is not None]),
                defective=np.array([verdict.defective for verdict in verdicts]),
            )
            print("{}", flush=True)


if __name__ == "__main__":
    main()
