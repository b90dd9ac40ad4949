"""The page of benchmarks/line.py: tables of what was measured, and what follows from them."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from blemish.core.tables import markdown_table

RIVAL = "rival, fp32, OpenVINO"
ENVIRONMENTS = {
    "core": "blemish, core, with ONNX Runtime",
    "openvino": "the same with OpenVINO",
    "rival": "anomalib 2.7.0 with openvino and nncf",
}


def page(found: dict[str, Any]) -> str:
    """Return Markdown."""
    parts = [head(found), installed(found), start(found), latency(found), where(found), quality(found), foot(found)]
    return "\n\n".join(parts) + "\n"


def paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 130, break_long_words=False, break_on_hyphens=False)


def part(title: str, head: list[str], rows: list[list[str]], text: str) -> str:
    return "\n".join([f"## {title}", "", markdown_table(head, rows), paragraph(text)])


def head(found: dict[str, Any]) -> str:
    height, width = found["image"]
    beside = (
        "in one run with the OpenVINOInferencer of anomalib 2.7.0, both taking turns" if found["rival"] else "alone"
    )
    loads = [f"{load:.1f}" for load in found["load"]]
    return "\n\n".join(
        [
            "# The line, measured",
            "<!-- Written by `make bench-line`; not by hand. -->",
            paragraph(
                f"""An exported model in an environment with the core of blemish, {beside}:
                `make bench-line DATA=CATEGORY WEIGHTS=mobilenetv2_100.safetensors RIVAL=PYTHON`. How to set up a
                line PC is
                said on [its own page](line-pc.md)."""
            ),
            paragraph(
                f"""PatchCore on MobileNetV2 (strides 8 and 16), 256 px, {found["bank"]:,} memories, {
                    "the same on both sides" if found["rival"] else ""
                }; images of {found["data"]}, {width} x {height} pixels. {found["processor"]},
                {found["cores"]} cores, threads as each side sets them. Load average {
                    loads[0]
                } before the cold starts, {loads[1]}
                after them, {loads[2]} after the latencies, with our own work. {found["note"]}"""
            ),
        ]
    )


def installed(found: dict[str, Any]) -> str:
    sizes = found["sizes"]
    core = sizes["core"]["MB"]
    rows = []
    for key, name in ENVIRONMENTS.items():
        if key in sizes:
            largest = ", ".join(f"{package} {size:,.0f}" for package, size in sizes[key]["largest"][:6])
            rows.append([name, f"{sizes[key]['MB']:,.0f}", largest])
    text = "Files below `site-packages`, without pip and compiled caches."
    if "rival" in sizes:
        whole, least = sizes["rival"]["MB"], sizes["rival"]["least"]
        text += f""" Ours is 1/{whole / core:.1f} of the rival's (goal: at most 1/10). Without all that serves
            NVIDIA cards, or
            exporting alone, the rival's would be {least:,.0f} MB, and ours 1/{least / core:.1f} of that."""
    return part("Installed size", ["environment", "MB", "of it"], rows, text)


def start(found: dict[str, Any]) -> str:
    median = {name: float(np.median(values)) for name, values in found["cold"].items()}
    rows = [
        [name, f"{median[name]:.2f}", ", ".join(f"{value:.2f}" for value in sorted(values))]
        for name, values in found["cold"].items()
    ]
    text = "A fresh process from its start to its end, with one decision on one image; files in the disk cache."
    if "rival" in median:
        python, command = (median["rival"] / median[f"ours, {name}"] for name in ("Runtime", "blemish inspect"))
        text += f""" Ours takes 1/{python:.1f} of the rival's time from Python and 1/{command:.1f} as a command
            (goal: at most 1/5).
            The rival's inferencer finds its compiled model in the cache that its first start, not counted, has
            filled."""
    return part("Cold start", ["", "seconds, median", "all"], rows, text)


def latency(found: dict[str, Any]) -> str:
    sides = found["sides"]
    rows = []
    for name, side in sides.items():
        computes = f" (computes in {side['precision']})" if "precision" in side else ""
        numbers = (f"{side[key][p]:.1f}" for key in ("whole", "alone") for p in ("p50", "p90"))
        rows.append([name + computes, *numbers])
    count = next(iter(sides.values()))["images"]
    text = f"""Milliseconds, {count} images a side. Whole: from the file to score, decision, map and mask; ours
        also enlarges the map
        to the image's size and finds regions. Alone: the engine's call; the rival's holds resizing, normalising and
        thresholds, as its graph does."""
    table = part("Latency of one image", ["", "whole, p50", "p90", "alone, p50", "p90"], rows, text)
    return "\n".join([table, "", paragraph(compared(found))])


def compared(found: dict[str, Any]) -> str:
    """Say how our fastest at fp32 and at int8 stand beside the rival's."""
    sides = found["sides"]
    p50 = {name: float(side["whole"]["p50"]) for name, side in sides.items()}
    right = [name for name in p50 if max(s["image_AUROC"] for s in sides.values()) - sides[name]["image_AUROC"] < 0.1]
    best = {
        kind: min((name for name in right if name.startswith(f"ours, {kind}")), key=p50.__getitem__)
        for kind in ("fp32", "int8")
    }
    fp32, int8 = p50[best["fp32"]], p50[best["int8"]]
    text = f"Of ours, int8 ({best['int8'][12:]}) is {fp32 / int8:.2f}x as fast as fp32 ({best['fp32'][12:]})."
    if RIVAL in p50:
        theirs = p50[RIVAL]
        text += f""" At fp32 ours takes {fp32 / theirs:.2f} of the rival's time (goal: at most 1); at int8 it is
            {theirs / int8:.2f}x as fast as the rival at fp32 (goal: at least 2x)."""
        if "rival, int8, OpenVINO" in p50:
            text += f""" The rival at int8 takes {p50["rival, int8, OpenVINO"] / int8:.2f} of our time at int8;
                see below what it finds."""
    if "int8_failed" in found["rival"]:
        text += f" The rival's int8 export failed here: {found['rival']['int8_failed'].splitlines()[0]}."
    return text


def where(found: dict[str, Any]) -> str:
    kinds = found["kinds"]
    total = {name: sum(values.values()) for name, values in kinds.items()}
    rows = []
    for kind in kinds["fp32"]:
        shares = ((f"{kinds[n][kind]:.1f}", f"{100 * kinds[n][kind] / total[n]:.0f} %") for n in ("fp32", "int8"))
        rows.append([kind, *(text for pair in shares for text in pair)])
    left = 1 - kinds["fp32"]["convolutions"] / total["fp32"]
    text = f"""From ONNX Runtime's profile; profiling and other programs on the machine add to it, the shares
        count. int8 concerns
        convolutions only. All else takes {100 * left:.0f} % of the time at fp32: if convolutions took no time at
        all, int8 would be
        {1 / left:.1f}x as fast in this engine. The search in the bank stays in float32. Here convolutions gain
        {kinds["fp32"]["convolutions"] - kinds["int8"]["convolutions"]:.1f} ms, and going from float32 to 8 bits and back
        costs {kinds["int8"]["between float32 and 8 bits"]:.1f} ms."""
    head = ["ONNX Runtime, ms an image", "fp32", "share", "int8", "share"]
    return part("What bounds int8", head, rows, text)


def quality(found: dict[str, Any]) -> str:
    sides, parity = found["sides"], found["parity"]["int8"]
    rows = [
        [name, f"{side['image_AUROC']:.4f}", f"{side['AUPRO']:.4f}", str(side["escapes"]), str(side["false_rejects"])]
        for name, side in sides.items()
    ]
    some = next(iter(sides.values()))
    text = f"""The {some["bad"]} defective and {some["good"]} good test parts; maps at the images' own size. Ours chose
        its threshold on held-out good parts, the rival on these very test parts. Layers of int8 stayed in float32 until
        good and damaged parts changed by at most 10 % ({", ".join(parity["kept"]) or "none"}). On the test parts our int8
        changes scores by
        up to {100 * parity["score"]:.1f} % of the largest and map values by up to {100 * parity["map"]:.1f} %, and
        {parity["changed"]} decisions; `blemish export` allows 5 % by default and
        {"would not write this file" if max(parity["score"], parity["map"]) > 0.05 else "would write this file"}. Files:
        {found["files"]["fp32"]:.1f} MB in fp32, {found["files"]["int8"]:.1f} MB in int8."""
    lost = [name for name in sides if some["image_AUROC"] - sides[name]["image_AUROC"] > 0.1]
    if lost:
        text += f""" **Do not use: {"; ".join(lost)}.** Its answers are wrong: an int8 .onnx file is
            compared with the model on ONNX Runtime only, and OpenVINO computes something else from it."""
    if found["rival"]:
        text += """ The rival's file was exported without its dynamic batch: with its defaults and the torch in
            its environment the
            batch was fixed at two images, and the file refused one."""
    return part("What each finds", ["", "image AUROC", "AUPRO", "escapes", "false rejects"], rows, text)


def foot(found: dict[str, Any]) -> str:
    about = found["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return paragraph(f"Made with {versions}; {about['platform']}; {about['started'][:10]}.")
