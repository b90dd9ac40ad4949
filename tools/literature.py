"""Check the data files of blemish.literature, and with --write put every entry in its file, sorted.

For whoever adds an entry: append a line to any file of its kind in src/blemish/literature/data/, then run this.
"""

from __future__ import annotations

import sys
from pathlib import Path

from blemish.core.errors import FormatError
from blemish.core.files import write_text
from blemish.literature.schema import laid_out, problems

DATA = Path(__file__).resolve().parents[1] / "src" / "blemish" / "literature" / "data"


def main(arguments: list[str], folder: Path = DATA) -> int:
    if set(arguments) - {"--write"}:
        print(__doc__)
        return 2
    try:
        if "--write" in arguments:
            rewrite(folder)
        found = problems(folder)
    except (FormatError, KeyError) as error:
        print(f"An entry cannot be placed: {error}")
        return 1
    print("\n".join(found) or "Every entry is sound.")
    return bool(found)


def rewrite(folder: Path) -> None:
    """Write the files that are not as they should be, and remove those that hold nothing any more."""
    wanted = laid_out(folder)
    for name, text in wanted.items():
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text:
            write_text(folder / name, text)
            print(f"written: {name}")
    for path in folder.rglob("*.jsonl"):
        if path.relative_to(folder).as_posix() not in wanted:
            path.unlink()
            print(f"removed: {path.name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
