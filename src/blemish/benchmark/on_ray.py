"""Bulk inspection on a Ray cluster: each worker loads the model once, results come in the order of the files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from blemish.benchmark.places import connect
from blemish.loading import load
from blemish.types import Prediction, Region


class Looker:
    """What a worker holds: the model, loaded once. Called with a batch of paths, it answers with JSON verdicts."""

    def __init__(self, model: str, settings: dict[str, Any]) -> None:
        self.inspection = load(model, **settings)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the verdicts on `batch["path"]`, without maps."""
        paths = [Path(str(path)) for path in batch["path"]]
        verdicts = [json.dumps(v.as_dict()) for v in self.inspection.stream(paths, batch_size=len(paths))]
        return {"place": batch["place"], "verdict": np.array(verdicts, dtype=object)}


def inspect_on_ray(
    model: Path | str,
    files: Sequence[Path | str],
    *,
    address: str | None = None,
    batch_size: int = 8,
    workers: int | None = None,
    **settings: Any,
) -> Iterator[Prediction]:
    """Yield the verdict on each file, in order, without maps and masks; the same as one process would give.

    `address` is the cluster's ("auto" finds the one this machine belongs to); None makes one of this machine's cores.
    `workers` hold the model, one a core by default; `settings` are those of `blemish.loading.load`. Model and files must
    lie under the same path on every machine.

    Raises:
        MissingExtra: ray is not installed.
        InputError: there is no cluster at `address`.
        BlemishError: the model cannot be loaded.
    """
    load(model, **settings)  # here first: an error of a worker would come wrapped in Ray's own
    mine = connect(address)
    import ray
    import ray.data

    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = sys.stderr.isatty()
        context.execution_options.preserve_order = True
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        rows = [{"place": place, "path": str(path)} for place, path in enumerate(files)]
        looked = ray.data.from_items(rows, override_num_blocks=max(1, -(-len(rows) // batch_size))).map_batches(
            Looker,
            fn_constructor_args=(str(Path(model).resolve()), settings),
            batch_size=batch_size,
            compute=ray.data.ActorPoolStrategy(size=min(count, max(1, len(rows)))),
            num_cpus=1,
        )
        waiting: dict[int, str] = {}
        due = 0
        for row in looked.iter_rows():
            waiting[int(row["place"])] = row["verdict"]
            while due in waiting:
                yield prediction(json.loads(waiting.pop(due)))
                due += 1
    finally:
        if mine:
            ray.shutdown()


def prediction(said: dict[str, Any]) -> Prediction:
    """Return the verdict that `Prediction.as_dict` described; maps and masks are not in it."""
    if "error" in said:
        return Prediction(said["key"], error=said["error"])
    regions = (Region(tuple(r["box"]), r["area"], r["peak"], tuple(r["peak_at"])) for r in said["regions"])
    return Prediction(
        key=said["key"],
        score=said["score"],
        p_value=said["p_value"],
        threshold=said["threshold"],
        defective=None if said["verdict"] is None else said["verdict"] == "defective",
        regions=tuple(regions),
    )
