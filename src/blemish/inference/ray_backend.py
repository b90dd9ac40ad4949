"""Many images on many machines: Ray Data hands batches to workers, each of which loads the model once."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from blemish.core.errors import InputError, MissingExtra
from blemish.core.prediction import Prediction
from blemish.inference.loading import load
from blemish.inference.metadata import model_files


def inspect_on_ray(
    model: Path | str,
    sources: Sequence[Any],
    *,
    address: str | None = None,
    workers: int | None = None,
    batch_size: int = 8,
    maps: bool = False,
    device: str = "cpu",
    **settings: Any,
) -> Iterator[Prediction]:
    """Inspect image files on a Ray cluster; the verdicts equal those of `Inspection.stream`.

    The model file is sent to the workers. A cluster started here ends with the last verdict.

    Args:
        model: Saved or exported model file.
        sources: Image files, or mappings from kinds of input to files, which each worker must reach under the same path.
        address: Address of the cluster; see `connect`.
        workers: Number of workers; None for as many as the cluster has cores.
        batch_size: Images per forward pass.
        maps: Whether score maps and masks are returned as well.
        device: Device of each worker; see `blemish.inference.loading.load`.
        **settings: Further arguments of `blemish.inference.loading.load`.

    Yields:
        The verdict on each image, in the order given.

    Raises:
        FormatError: the model file is absent or damaged.
        MissingExtra: ray is not installed, or what the model needs.
        InputError: there is no cluster at `address`, or a setting does not suit the model.
    """
    load(model, **settings)  # here first: errors are reported as usual, not in Ray's words
    path = Path(model)
    files = {part.name: part.read_bytes() for part in model_files(path)}
    connected = connect(address)
    import ray

    try:
        texts = [json.dumps(source, default=str) for source in sources]
        batches = [{"parts": texts[i : i + batch_size]} for i in range(0, len(texts), batch_size)]
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        count = min(workers or cores, max(1, len(batches)))
        worker = {"name": path.name, "files": ray.put(files), "maps": maps, "batch_size": batch_size, "device": device}
        yield from _verdicts(batches, count, {**worker, "load": settings})
    finally:
        if connected:
            ray.shutdown()


def _verdicts(batches: list[dict[str, Any]], workers: int, settings: dict[str, Any]) -> Iterator[Prediction]:
    import ray.data

    if not batches:
        return
    context = ray.data.DataContext.get_current()
    before = context.execution_options.preserve_order, context.enable_progress_bars
    context.execution_options.preserve_order, context.enable_progress_bars = True, False
    try:
        looked = ray.data.from_items(batches, override_num_blocks=len(batches)).flat_map(
            _Worker,
            fn_constructor_kwargs={"settings": settings},
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_gpus=1 if settings["device"].startswith("cuda") else 0,
        )
        for row in looked.iter_rows():
            yield _prediction(row)
    finally:
        context.execution_options.preserve_order, context.enable_progress_bars = before


class _Worker:
    """Holds the model; a row of the data is a batch of paths, so batches equal those of a local inspection."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import ray

        with tempfile.TemporaryDirectory() as folder:
            for name, content in ray.get(settings["files"]).items():
                (Path(folder) / name).write_bytes(content)
            self.model = load(Path(folder) / settings["name"], device=settings["device"], **settings["load"])
        self.batch_size, self.maps = settings["batch_size"], settings["maps"]

    def __call__(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        found = self.model.stream([json.loads(text) for text in row["parts"]], batch_size=self.batch_size)
        return [_row(verdict, self.maps) for verdict in found]


def _row(verdict: Prediction, maps: bool) -> dict[str, Any]:
    shape = () if verdict.map is None or not maps else verdict.map.shape
    return {
        "verdict": json.dumps(verdict.as_dict()),
        "shape": json.dumps(shape),
        "map": b"" if not shape or verdict.map is None else verdict.map.astype("<f4").tobytes(),
        "mask": b"" if not shape or verdict.mask is None else np.packbits(verdict.mask).tobytes(),
    }


def _prediction(row: dict[str, Any]) -> Prediction:
    verdict, shape = Prediction.from_dict(json.loads(row["verdict"])), tuple(json.loads(row["shape"]))
    if not shape:
        return verdict
    bits = np.unpackbits(np.frombuffer(row["mask"], np.uint8), count=int(np.prod(shape))) if row["mask"] else None
    return replace(
        verdict,
        map=np.frombuffer(row["map"], "<f4").reshape(shape).copy(),
        mask=None if bits is None else bits.reshape(shape).astype(bool),
    )


def connect(address: str | None) -> bool:
    """Connect to Ray unless this process is connected already.

    Args:
        address: "auto" (the cluster that this machine belongs to), "host:port", or None: a cluster of this machine
            alone.

    Returns:
        Whether the connection was made here, and so is to be closed by the caller.

    Raises:
        MissingExtra: ray is not installed.
        InputError: there is no cluster at `address`.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtra("ray", "ray") from error
    if ray.is_initialized():
        return False
    dashboard = None if address else False
    try:
        ray.init(address=address, include_dashboard=dashboard, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"no Ray cluster at {address!r}: {error} Start one with `ray start --head`, or leave --address out to use "
            "this machine alone."
        ) from error
    return True
