"""Where the time of an exported model goes: ONNX Runtime's own profile, summed by kind of operation."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime

RUNS = 50
GROUPS = {
    "convolutions": ("Conv", "FusedConv", "QLinearConv", "ConvInteger", "NhwcFusedConv"),
    "search in the bank and matrices": (
        "MatMul",
        "Gemm",
        "FusedMatMul",
        "FusedGemm",
        "QGemm",
        "TopK",
        "ArgMin",
        "ReduceMin",
    ),
    "between float32 and 8 bits": ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast"),
}


def kinds(path: str, size: tuple[int, int]) -> dict[str, float]:
    """Return the milliseconds an image in each group of operations, and in "the rest"; operations are timed one by one."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        image = np.random.default_rng(0).uniform(0, 1, (1, 3, *size)).astype(np.float32)
        for _ in range(RUNS):
            session.run(None, {"image": image})
        events = json.loads(Path(session.end_profiling()).read_text())
    spent: Counter[str] = Counter()
    group = {kind: name for name, members in GROUPS.items() for kind in members}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent[group.get(event["args"]["op_name"], "the rest")] += event["dur"]
    return {name: 1e-3 * spent[name] / RUNS for name in (*GROUPS, "the rest")}
