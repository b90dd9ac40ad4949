"""Where cells are computed: processes of this machine, or a Ray cluster. The results are the same."""

from __future__ import annotations

import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from blemish.benchmark.hardware import cores
from blemish.benchmark.process import Task, measured
from blemish.core.errors import InputError
from blemish.inference.ray_backend import connect


class Backend(Protocol):
    """Takes up to `slots` cells at a time."""

    slots: int

    def submit(self, task: Task) -> Future[dict[str, Any]]:
        """Start a cell.

        Args:
            task: See `blemish.benchmark.process`.

        Returns:
            Its result to come.
        """

    def close(self) -> None:
        """Stop whatever still runs."""


class LocalBackend:
    """Processes of this machine, each with its share of the cores.

    Args:
        jobs: How many run at a time.
        limit: Seconds that a cell may take; None: as many as it likes.
    """

    def __init__(self, jobs: int = 1, limit: float | None = None) -> None:
        if jobs < 1:
            raise InputError(f"jobs is {jobs}; it must be at least 1")
        self.slots, self.limit = jobs, limit
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="blemish-bench")
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def submit(self, task: Task) -> Future[dict[str, Any]]:
        """Start a cell.

        Args:
            task: See `blemish.benchmark.process`.

        Returns:
            Its result to come.
        """
        return self._pool.submit(self._measured, task)

    def close(self) -> None:
        """Kill what still runs."""
        self._closed = True
        for process in list(self._running):
            process.kill()
        self._pool.shutdown(cancel_futures=True)

    def _measured(self, task: Task) -> dict[str, Any]:
        threads = max(1, cores() // self.slots)
        return measured(task, limit=self.limit, threads=threads, started=self._started)

    def _started(self, process: subprocess.Popen[bytes]) -> None:
        self._running.add(process)
        if self._closed:  # between its start and now
            process.kill()


class RayBackend:
    """A Ray cluster.

    Each cell is a Ray task, and measures in a process of its own, as `LocalBackend` does. The results come back to the
    driver, which alone writes. blemish and the data must be on every machine, the data under the same path; images that
    are made (`make` in the grid) are made there.

    Args:
        address: "auto" finds the cluster that this machine belongs to; None makes one here and now.
        cpus: Cores that a cell asks for.
        gpus: GPUs that a cell asks for.
        limit: Seconds that a cell may take; None: as many as it likes.

    Raises:
        MissingExtra: ray is not installed.
        InputError: there is no cluster at `address`, or no cell fits in it.
    """

    def __init__(
        self, address: str | None = None, *, cpus: float = 1, gpus: float = 0, limit: float | None = None
    ) -> None:
        self._connected = connect(address)
        import ray

        self._flying: dict[Future[dict[str, Any]], Any] = {}
        self._task: Any = ray.remote(num_cpus=cpus, num_gpus=gpus)(measured)
        self._limit, self._threads = limit, max(1, int(cpus))
        there = ray.cluster_resources()  # type: ignore[no-untyped-call]
        fit = [there.get("CPU", 0) // cpus, *([there.get("GPU", 0) // gpus] if gpus else [])]
        if min(fit) < 1:
            self.close()
            raise InputError(
                f"no cell fits in this cluster: each asks for {cpus:g} cores and {gpus:g} GPUs, there are "
                f"{there.get('CPU', 0):g} and {there.get('GPU', 0):g} in all. Ask for less (--cpus, --gpus)."
            )
        self.slots = int(min(fit))

    def submit(self, task: Task) -> Future[dict[str, Any]]:
        """Start a cell.

        Args:
            task: See `blemish.benchmark.process`.

        Returns:
            Its result to come.
        """
        reference = self._task.remote(task, limit=self._limit, threads=self._threads)
        found: Future[dict[str, Any]] = reference.future()
        self._flying[found] = reference
        found.add_done_callback(lambda done: self._flying.pop(done, None))
        return found

    def close(self) -> None:
        """Cancel what still runs; a cluster made here ends."""
        import ray

        for reference in list(self._flying.values()):
            ray.cancel(reference, force=True)
        if self._connected:
            ray.shutdown()
