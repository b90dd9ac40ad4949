"""Write a benchmark's table, page and manifest from a folder of its cells, or compare such a folder with the manifest.

    python tools/measured.py CELLS --out docs/bench-here
    python tools/measured.py CELLS --out docs/bench-here --check

CELLS is the folder that `blemish benchmark` wrote to, or its `cells`. The cells, a JSON file each, are too large to be kept
with the code: results.csv and results.md hold their results, manifest.csv the name, SHA-256 and size of each. --check names
every file that is missing, changed, or not in the manifest.

Exit codes: 0 done; 1 a cell cannot be read, or, with --check, the cells differ; 2 an error.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from blemish.benchmark.results import read_cells, write_report
from blemish.core.errors import BlemishError
from blemish.core.files import sha256, write_text
from blemish.core.tables import csv_text

MANIFEST, HEAD = "manifest.csv", ("file", "sha256", "bytes")


def write(folder: Path, out: Path) -> int:
    """Write table, page and manifest; nothing is written if a cell cannot be read."""
    found = read_cells(folder)
    if found.unread:
        print(*(f"unreadable: {name}: {reason}" for name, reason in found.unread.items()), sep="\n")
        return 1
    files = write_report(found, out, ["csv", "markdown"])
    lines = [[name, *content(folder / name)] for name in sorted(cell.file for cell in found.cells)]
    files += [write_text(out / MANIFEST, csv_text([HEAD, *lines]))]
    print(f"{len(lines)} cells:", *files)
    return 0


def check(folder: Path, out: Path) -> int:
    """Compare the JSON files of a folder with the manifest and name those that differ."""
    with (out / MANIFEST).open(encoding="utf-8", newline="") as stream:
        listed = {row["file"]: (row["sha256"], row["bytes"]) for row in csv.DictReader(stream)}
    there = {path.relative_to(folder).as_posix(): content(path) for path in folder.rglob("*.json")}
    said = [f"missing: {name}" for name in sorted(listed.keys() - there.keys())]
    said += [f"changed: {name}" for name in sorted(listed.keys() & there.keys()) if listed[name] != there[name]]
    said += [f"not in the manifest: {name}" for name in sorted(there.keys() - listed.keys())]
    print(*(said or [f"all {len(listed)} cells are those of {out / MANIFEST}"]), sep="\n")
    return int(bool(said))


def content(path: Path) -> tuple[str, str]:
    """Return a file's SHA-256 and its size in bytes, as text."""
    return sha256(path), str(path.stat().st_size)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", type=Path, help="folder of the cells")
    parser.add_argument("--out", type=Path, required=True, help="folder of table, page and manifest")
    parser.add_argument("--check", action="store_true", help="write nothing, compare the cells with the manifest")
    given = parser.parse_args(words)
    inside = given.cells / "cells"
    folder = inside if inside.is_dir() else given.cells
    try:
        return (check if given.check else write)(folder, given.out)
    except (BlemishError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
