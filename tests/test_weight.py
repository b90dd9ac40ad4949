"""What the tree weighs: no large file among pages and tools, and results as tables, not as the cells they come from."""

import csv
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVIEST = 300_000  # bytes
BENCH = ROOT / "docs" / "bench-here"


def files(folder: str) -> list[Path]:
    found = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [path for path in found if not any(p.startswith((".", "__")) for p in path.relative_to(ROOT).parts)]


def test_no_page_picture_or_tool_is_large() -> None:
    found = files("docs") + files("tools")
    assert len(found) > 60
    assert not [f"{path}: {path.stat().st_size}" for path in found if path.stat().st_size > HEAVIEST]


def test_no_cell_is_kept_among_the_pages() -> None:
    for path in files("docs"):
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            assert not isinstance(content, dict) or "cell" not in content, f"{path}: keep it in a folder of its own"


def test_the_manifest_counts_the_cells_of_the_results() -> None:
    """The manifest lists as many cells as the results come from."""
    with (BENCH / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        listed = list(csv.DictReader(stream))
    assert [row["file"] for row in listed] == sorted({row["file"] for row in listed})
    assert all(re.fullmatch("[0-9a-f]{64}", row["sha256"]) and int(row["bytes"]) > 0 for row in listed)
    runs = set()  # one cell each
    with (BENCH / "results.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            where = (row["method"], row["dataset"], row["protocol"], row["preset"], row["category"])
            runs |= {(*where, each.partition(":")[0]) for each in row["by_seed"].split(";") if row["category"] != "*"}
    failed = re.search(r"^## Failures \((\d+) of", (BENCH / "results.md").read_text(encoding="utf-8"), re.M)
    assert len(listed) == len(runs) + (int(failed[1]) if failed else 0) > 0
