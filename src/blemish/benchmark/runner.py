"""The runner: takes cells one by one until all are done, by itself or by others, and can be stopped at any moment.

    OUT/cells/NAME.json     the results, each written whole or not at all
    OUT/claims/             who works on what, while somebody works
    OUT/features/           features of frozen networks, to be removed at will
    OUT/fitted/             run folders of fits that are under way, and of detectors that several cells test, likewise

What was killed in the middle is not there, and is done when the runner is started again; what is there is never done
again. Several runners may share a folder.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from pathlib import Path
from typing import Any

from blemish.benchmark.backends import Backend
from blemish.benchmark.cells import Cell, failure, is_fitted
from blemish.benchmark.claims import Claims
from blemish.core.errors import FormatError
from blemish.core.files import read_json, write_json

POLL = 1.0
"""Seconds between two looks at what other runners have done."""

Result = dict[str, Any]


class Runner:
    """Computes cells and writes their results; iterate over it. It closes the backend when it is done.

    Args:
        cells: What to measure.
        out: Folder of the results.
        backend: Where cells are computed.
        retry_failed: Whether failed cells are computed once more.
        device: "cpu", "auto" or "cuda:0".
        features: Whether features of frozen networks are kept in the folder, for all methods and seeds.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        out: Path | str,
        backend: Backend,
        *,
        retry_failed: bool = False,
        device: str = "cpu",
        features: bool = True,
    ) -> None:
        self.out, self.backend, self.device = Path(out), backend, device
        self.features = str(self.out / "features") if features else None
        self.waiting = {cell.name: cell for cell in cells}
        self.total = len(self.waiting)
        self._learnings = Counter(cell.learning.name for cell in self.waiting.values())
        stored = {name: self._stored(cell) for name, cell in self.waiting.items()}
        self._retry = {name: r["tries"] for name, r in stored.items() if retry_failed and r is not None and r["failed"]}
        self.before = sum(r is not None and name not in self._retry for name, r in stored.items())
        self.flying: dict[Future[Result], Cell] = {}
        self._fitting: set[str] = set()  # cells that hold the claim on a detector
        self._seconds: dict[str, list[float]] = {}

    def __iter__(self) -> Generator[Result, None, None]:
        """Yield every result, those that are there first, as they come. Leaving early stops what still runs."""
        with closing(self._results()) as results:
            for result in results:
                if "seconds" in result.get("stamps", {}):  # a failed cell says nothing about the others
                    self._seconds.setdefault(result["cell"]["method"], []).append(result["stamps"]["seconds"])
                yield result

    def left(self) -> float | None:
        """Estimate the seconds that are left.

        Each cell is taken to last as long as those of its method did on average, or as all did if none is done; methods
        differ by much more than categories and seeds. Earlier runs count too.

        Returns:
            Seconds, None as long as no cell is done.
        """
        if not self._seconds:
            return None
        mean = {method: sum(each) / len(each) for method, each in self._seconds.items()}
        otherwise = sum(mean.values()) / len(mean)
        rest = [*self.waiting.values(), *self.flying.values()]
        return sum(mean.get(cell.method, otherwise) for cell in rest) / self.backend.slots

    def _results(self) -> Generator[Result, None, None]:
        with closing(Claims(self.out / "claims")) as claims, closing(self.backend):
            yield from self._there()
            while self.waiting or self.flying:
                yield from self._take(claims)
                if not self.flying:
                    time.sleep(POLL if self.waiting else 0)  # the rest is with others
                    continue
                done, _ = wait(self.flying, timeout=POLL, return_when=FIRST_COMPLETED)
                for future in done:
                    yield self._write(future, claims)

    def _there(self) -> Iterator[Result]:
        for name, cell in list(self.waiting.items()):
            found = self._finished(cell)
            if found is not None:
                del self.waiting[name]
                yield found

    def _take(self, claims: Claims) -> Iterator[Result]:
        """Fill the free slots; yield what others have finished meanwhile."""
        for name, cell in list(self.waiting.items()):
            if len(self.flying) == self.backend.slots:
                return
            if not self._may_fit(cell, claims):
                continue
            ours = claims.claim(name)
            found = self._finished(cell)  # only now is it sure that nobody works on it
            if found is not None:
                if ours:
                    claims.release(name)
                del self.waiting[name]
                yield found
            elif ours:
                del self.waiting[name]
                task: dict[str, Any] = {"cell": cell.as_dict(), "device": self.device, "features": self.features}
                task |= {"fitted": str(self.out / "fitted"), "keep": self._learnings[cell.learning.name] > 1}
                self.flying[self.backend.submit(task)] = cell
                continue
            self._let_fit(cell, claims)

    def _may_fit(self, cell: Cell, claims: Claims) -> bool:
        """Return whether a cell may begin: of several that test one detector the first fits it, the others wait."""
        fit = cell.learning.name
        if self._learnings[fit] == 1 or is_fitted(self.out / "fitted" / fit):
            return True
        if claims.claim(f"fit-{fit}"):
            self._fitting.add(cell.name)
            return True
        return False

    def _let_fit(self, cell: Cell, claims: Claims) -> None:
        """Give back the claim on a detector that was fitted, or could not be."""
        if cell.name in self._fitting:
            self._fitting.remove(cell.name)
            claims.release(f"fit-{cell.learning.name}")

    def _write(self, future: Future[Result], claims: Claims) -> Result:
        cell = self.flying.pop(future)
        error = future.exception()
        found = failure(f"{type(error).__name__}: {error}") if error is not None else future.result()
        kept = cell.as_dict()
        # Results are passed on: where the images lay is nobody's affair.
        kept["source"]["root"] = Path(cell.source.root).name
        result = {"cell": kept, **found, "tries": 1 + self._retry.get(cell.name, 0)}
        write_json(cell.path(self.out), result)
        claims.release(cell.name)
        self._let_fit(cell, claims)
        return result

    def _finished(self, cell: Cell) -> Result | None:
        """Return the result of a cell unless it is to be done, or done again."""
        found = self._stored(cell)
        if found is None or (found["failed"] and found["tries"] == self._retry.get(cell.name)):
            return None
        return found

    def _stored(self, cell: Cell) -> Result | None:
        path = cell.path(self.out)
        if not path.exists():
            return None
        found: Result = read_json(path)
        if not isinstance(found, dict) or not {"cell", "failed", "tries"} <= found.keys():
            raise FormatError(f"{path} is not a result of this benchmark. Delete it, or choose another folder (--out).")
        return found
