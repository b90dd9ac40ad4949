"""Write docs/performance.md and its picture from what the benchmarks measured: runs/bench/*.json.

python tools/performance.py [--from runs/bench]
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from blemish.core.files import read_json, write_text
from blemish.core.tables import markdown_table

ROOT = Path(__file__).parents[1]
ORDER = ("forward", "coreset", "patchcore", "padim", "metrics", "whole_run", "startup")


def table(rows: list[dict[str, Any]]) -> list[str]:
    shown = []
    for row in rows:
        theirs = "" if row["rival"] is None else f"{row['rival']:,.3g} {row['unit']}"
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.1f}x"
        shown.append([row["work"], f"{row['ours']:,.3g} {row['unit']}", theirs, ratio, str(row["goal"]), row["note"]])
    return markdown_table(["work", "ours", "anomalib 2.7.0", "ratio", "goal", ""], shown).splitlines()


def growth(rows: list[dict[str, Any]], picture: Path) -> list[str]:
    """Return the table of how cost grows, and draw it."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    found: dict[str, dict[int, dict[str, float]]] = {}
    for row in rows:
        name, count, what = re.match(r"growth: (\w+).*? ([\d,]+) (?:patches|images): (.*)", row["work"]).groups()  # type: ignore[union-attr]
        images = int(count.replace(",", "")) // (1024 if "patches" in row["work"] else 1)
        found.setdefault(name, {}).setdefault(images, {})[what] = row["ours"]
    lines = []
    for images in (100, 1000, 10_000):
        each = ((f"{f[images]['time']:.2f}", f"{f[images]['peak memory']:,.0f}") for f in found.values())
        lines.append([f"{images:,}", *(text for pair in each for text in pair)])
    head = ["training images", *(f"{name}, {unit}" for name in found for unit in ("s", "MB"))]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for axis, what, unit in zip(axes, ("time", "peak memory"), ("seconds", "MB"), strict=True):
        for name, at in found.items():
            axis.loglog(list(at), [max(values[what], 1e-3) for values in at.values()], marker="o", label=name)
        axis.set(xlabel="training images", ylabel=unit, title=what)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(picture, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return markdown_table(head, lines).splitlines()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="folder", type=Path, default=ROOT / "runs" / "bench")
    folder = parser.parse_args().folder
    found = {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}
    if not found:
        raise SystemExit(f"{folder} holds no results; run `make bench` first")
    lines = [
        "# Performance",
        "",
        "<!-- Written by `make bench`; not by hand. -->",
        "",
        "Ours beside anomalib 2.7.0 on the same machine, arrays and weights, in one run:",
        "`make bench DATA=FOLDER WEIGHTS=mobilenetv2_100.safetensors RIVAL=PYTHON`.",
        "Each side works in a process of its own; medians of several runs, where the note says nothing else. The",
        "ratio is the rival's figure divided by ours. Without RIVAL only our side is measured.",
        "",
        *table([row for name in ORDER if name in found for row in found[name]["rows"]]),
    ]
    lines += [
        "",
        "What makes it fast on a processor, and what is left:",
        "",
        "- A frozen network is given a few images at a time with their channels side by side, so that what lies",
        "  between two layers stays in the cache. The command line also keeps freed memory, which glibc would give back",
        "  after every image and fetch again page by page. From Python, once:",
        "  `from blemish.core.memory import keep_freed_memory; keep_freed_memory()`.",
        "- 1,024 patches against 16,384 memories are 16.8 million pairs an image. Where the processor can multiply bytes",
        "  (AVX2, AVX-512 VNNI), 64 bytes a pair bound its distance (`blemish.ops.byte_tiles`); the few that may",
        "  be nearest are then taken in full, and the answer is exact. Other processors compare 33 floats a pair. The",
        "  table has both.",
        "- The search runs on torch's own worker threads (`ops.threads`): they spin for some milliseconds after each",
        "  of torch's operations, and threads of the search's own would have to wait for them.",
    ]
    if "growth" in found:
        picture = ROOT / "docs" / "images" / "growth.png"
        lines += ["", "## How cost grows", ""]
        lines += [
            *growth(found["growth"]["rows"], picture),
            "",
            "![Time and memory over images](images/growth.png)",
            "",
        ]
        lines += [
            "Patches and maps are simulated (`benchmarks/growth.py`): PatchCore's selection of 10,000 patches with at most",
            "1 GiB of patches in memory, PaDiM's moments in three grids. Beyond that GiB PatchCore selects while reading.",
        ]
    first = next(iter(found.values()))
    environment, threads = first["environment"], first["threads"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    lines += [
        "",
        f"Made with {versions}; {environment['platform']}; {first['processor']}, {threads} threads;",
        f"{environment['started'][:10]}.",
        "",
    ]
    write_text(ROOT / "docs" / "performance.md", "\n".join(lines))


if __name__ == "__main__":
    main()
