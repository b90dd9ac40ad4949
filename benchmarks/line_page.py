"""The page of benchmarks/line.py: tables of what was measured, and what follows from them."""

from __future__ import annotations

from typing import Any

import numpy as np


def page(found: dict[str, Any]) -> str:
    """Return Markdown."""
    parts = [head(found), installed(found), start(found), latency(found), where(found), quality(found)]
    return "\n\n".join(parts) + f"\n\n{foot(found)}\n"


def head(found: dict[str, Any]) -> str:
    height, width = found["image"]
    beside = (
        "beside the OpenVINOInferencer of anomalib 2.7.0, in one run on one machine, taking turns"
        if found["rival"]
        else "(the rival was not at hand)"
    )
    return f"""# The line, measured

<!-- Written by `make bench-line`; not by hand. -->

An exported model in an environment with the core of blemish alone, {beside}:
`make bench-line DATA=CATEGORY WEIGHTS=mobilenetv2_100.safetensors RIVAL=PYTHON`. How to set up a line PC: [a model on a line PC](line-pc.md).

PatchCore on MobileNetV2 (strides 8 and 16), 256 px, {found["bank"]:,} memories, the same on both sides; images of {found["data"]},
{width} x {height} pixels. {found["cores"]} cores, threads as each side sets them. The machine was shared: the load average was
{found["load"][0]:.1f} before the cold starts, {found["load"][1]:.1f} after them and {found["load"][2]:.1f} after the latencies, our own work
included; the benchmark ran with raised priority and was not alone."""


def installed(found: dict[str, Any]) -> str:
    sizes = found["sizes"]
    core = sizes["core"]["MB"]
    rows = ["## Installed size", "", "| environment | MB | of it |", "|---|---|---|"]
    names = {
        "core": "blemish, core, with ONNX Runtime",
        "openvino": "the same with OpenVINO",
        "rival": "anomalib 2.7.0 with openvino, nncf",
    }
    for key, name in names.items():
        if key in sizes:
            largest = ", ".join(f"{package} {size:,.0f}" for package, size in sizes[key]["largest"][:6])
            rows.append(f"| {name} | {sizes[key]['MB']:,.0f} | {largest} |")
    rows.append("")
    if "rival" in sizes:
        whole, least = sizes["rival"]["MB"], sizes["rival"]["least"]
        rows.append(
            f"Ours is 1/{whole / core:.1f} of the rival's (goal: at most 1/10). Without all that serves NVIDIA cards or exporting only, the rival's "
            f"would be {least:,.0f} MB: then ours is 1/{least / core:.1f}. "
        )
    rows.append("Files below `site-packages`, without pip and compiled caches.")
    return "\n".join(rows)


def start(found: dict[str, Any]) -> str:
    cold = {name: float(np.median(values)) for name, values in found["cold"].items()}
    rows = [
        "## Cold start",
        "",
        "A fresh process, from its start to its end with one decision on one image; median of ",
    ]
    rows[-1] += f"{len(next(iter(found['cold'].values())))}, files in the disk cache.\n"
    rows += ["| | seconds | all |", "|---|---|---|"]
    for name, values in found["cold"].items():
        rows.append(f"| {name} | {cold[name]:.2f} | {', '.join(f'{value:.2f}' for value in sorted(values))} |")
    if "rival" in cold:
        own = cold["ours, Runtime"], cold["ours, blemish inspect"]
        rows.append(
            f"\nOurs takes 1/{cold['rival'] / own[0]:.1f} of the rival's time from Python, 1/{cold['rival'] / own[1]:.1f} as a command (goal: at "
            "most 1/5). The rival's inferencer finds its compiled model in its cache, which its first start, not counted, has filled."
        )
    return "\n".join(rows)


def latency(found: dict[str, Any]) -> str:
    sides = found["sides"]
    count = next(iter(sides.values()))["images"]
    rows = [
        "## Latency of one image",
        "",
        f"Milliseconds, {count} images a side, in turns of blocks. Whole: from the file to score, decision, map and mask; ours also enlarges the map to the",
        "image's size and finds regions. Alone: the session's call; the rival's holds its resizing, normalising and thresholds, as its graph does.",
        "",
        "| | whole, p50 | p90 | alone, p50 | p90 |",
        "|---|---|---|---|---|",
    ]
    for name, side in sides.items():
        cells = " | ".join(f"{side[key][p]:.1f}" for key in ("whole", "alone") for p in ("p50", "p90"))
        extra = f" ({side['precision']})" if "precision" in side else ""
        rows.append(f"| {name}{extra} | {cells} |")

    def p50(name: str) -> float:
        return float(sides[name]["whole"]["p50"])

    best = {kind: min((p50(n), n) for n in sides if n.startswith(f"ours, {kind}")) for kind in ("fp32", "int8")}
    rows.append("")
    if "rival, fp32, OpenVINO" in sides:
        theirs = p50("rival, fp32, OpenVINO")
        rows.append(
            f"At fp32 our best ({best['fp32'][1].removeprefix('ours, fp32, ')}) takes {best['fp32'][0] / theirs:.2f} of the rival's time at fp32 "
            f"(goal: at most 1); at int8 our best ({best['int8'][1].removeprefix('ours, int8, ')}) is {theirs / best['int8'][0]:.2f}x as fast as that "
            f"(goal: at least 2x) and {best['fp32'][0] / best['int8'][0]:.2f}x as fast as our own fp32."
        )
    else:
        rows.append(f"int8 is {best['fp32'][0] / best['int8'][0]:.2f}x as fast as fp32.")
    if "int8_failed" in found["rival"]:
        rows.append(f"The rival's int8 export failed here: {found['rival']['int8_failed'].splitlines()[0]}.")
    return "\n".join(rows)


def where(found: dict[str, Any]) -> str:
    kinds = found["kinds"]
    total = {name: sum(values.values()) for name, values in kinds.items()}
    rows = [
        "## What bounds int8",
        "",
        "ONNX Runtime's profile, milliseconds an image and share; profiling itself and the other programs on the machine add to it.",
        "",
        "| | fp32 | | int8 | |",
        "|---|---|---|---|---|",
    ]
    for kind in kinds["fp32"]:
        cells = [f"{kinds[n][kind]:.1f} | {100 * kinds[n][kind] / total[n]:.0f} %" for n in ("fp32", "int8")]
        rows.append(f"| {kind} | {' | '.join(cells)} |")
    left = 1 - kinds["fp32"]["convolutions"] / total["fp32"]
    rows.append(
        f"\nint8 concerns convolutions only. All else takes {100 * left:.0f} % of the time at fp32, so that int8 could not be more than {1 / left:.1f}x as fast "
        "as fp32 even if convolutions took no time at all. The search in the bank stays in float32: it decides scores, and rounding "
        "its descriptions to 8 bits would change which memory is nearest."
    )
    return "\n".join(rows)


def quality(found: dict[str, Any]) -> str:
    sides = found["sides"]
    some = next(iter(sides.values()))
    rows = [
        "## What each finds",
        "",
        f"The {some['bad']} defective and {some['good']} good test parts; maps at the images' own size. Ours chose its threshold on held-out good parts, the",
        "rival on these very test parts.",
        "",
        "| | image AUROC | AUPRO | escapes | false rejects |",
        "|---|---|---|---|---|",
    ]
    for name, side in sides.items():
        rows.append(
            f"| {name} | {side['image_AUROC']:.4f} | {side['AUPRO']:.4f} | {side['escapes']} | {side['false_rejects']} |"
        )
    parity = found["parity"]["int8"]
    kept = ", ".join(parity["kept"]) or "none"
    rows.append(
        f"\nint8 changes scores by up to {100 * parity['score']['largest'] / parity['score']['scale']:.1f} % of the largest and map values by up to "
        f"{100 * parity['map']['largest'] / parity['map']['scale']:.1f} % (allowed here: 20 %, by default 5 %: without `--tolerance` this export would "
        f"{'have failed' if max(parity[k]['largest'] / parity[k]['scale'] for k in ('score', 'map')) > 0.05 else 'have passed'}). Layers left in float32: {kept}. "
        f"Files: {found['files']['fp32']:.1f} MB in fp32, {found['files']['int8']:.1f} MB in int8."
    )
    if found["rival"]:
        rows.append(
            "\nThe rival's file had to be exported without its dynamic batch: with torch 2.14 and its defaults the batch is fixed at two images, and the file "
            "refuses one."
        )
    return "\n".join(rows)


def foot(found: dict[str, Any]) -> str:
    about = found["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return f"Made with {versions}; {about['platform']}; {about['started'][:10]}."
