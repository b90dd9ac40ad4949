"""On a Ray cluster of this machine: the same results as in processes of its own."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from blemish.benchmark.backends import LocalBackend, RayBackend
from blemish.benchmark.runner import Runner
from blemish.cli.app import app
from blemish.core.errors import FormatError, InputError
from blemish.export import to_onnx
from blemish.imaging.images import Imaging
from blemish.inference.calibration import from_good
from blemish.inference.inspector import Inspector
from blemish.inference.ray_backend import inspect_on_ray
from blemish.models import PatchCore
from grids import cells
from parts import Parts, deface, stripes, write_png

ray = pytest.importorskip("ray", reason="ray is not installed (extra 'ray')")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
SIZE = (32, 32)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("bulk")
    for i, image in enumerate(stripes(5, SIZE, seed=5)):
        write_png(root / "parts" / f"{i}-good.png", image)
    for i, image in enumerate(deface(stripes(4, SIZE, seed=6), seed=7)[0]):
        write_png(root / "parts" / f"{i}-turned.png", image)
    (root / "parts" / "9-torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    inspector = Inspector(PatchCore(coreset_sampling_ratio=0.2).fit(Parts(stripes(16, SIZE, seed=0))), Imaging(SIZE))
    raws = [raw for _, raw in inspector.raw([i.permute(1, 2, 0).numpy() for i in stripes(20, SIZE, seed=1)])]
    inspector.calibration = from_good([r.score for r in raws], 0.1, pixel_peaks=[float(r.map.max()) for r in raws])
    inspector.save(root / "model.safetensors")
    onnx.save(to_onnx(inspector), root / "model.onnx")
    return root


def test_a_cell_that_does_not_fit_in_the_cluster_is_refused(cluster) -> None:
    with pytest.raises(InputError, match="each asks for 1 cores and 9 GPUs, there are 2 and 0 in all"):
        RayBackend(gpus=9)
    assert ray.is_initialized()  # it was not ours to end


def test_a_grid_has_the_same_results_on_ray(cluster, tmp_path) -> None:
    grid = cells(tmp_path, seeds=[0])
    keys = ("cell", "metrics", "scores", "decisions", "by_category", "failed")
    local, far = (
        sorted(({k: r[k] for k in keys} for r in Runner(grid, tmp_path / name, where)), key=lambda r: r["cell"]["seed"])
        for name, where in (("local", LocalBackend(1)), ("ray", RayBackend()))
    )
    assert json.dumps(local) == json.dumps(far)
    assert len(list((tmp_path / "ray" / "cells").glob("*.json"))) == 1
    assert ray.is_initialized(), "a cluster that was there before stays"


@pytest.mark.parametrize("model", ["model.safetensors", "model.onnx"])
def test_a_folder_is_inspected_as_by_one_process(cluster, place, model) -> None:
    files = sorted((place / "parts").iterdir())
    found = list(inspect_on_ray(place / model, files, batch_size=3, workers=2, maps=True))
    own = Inspector.load(place / "model.safetensors").inspect(files)
    assert [v.key for v in found] == [v.key for v in own]
    assert {v.defective for v in found} == {True, False, None}
    for a, b in zip(found, own, strict=True):
        assert (a.defective, a.p_value, a.threshold, a.error) == (b.defective, b.p_value, b.threshold, b.error)
        assert [r.box for r in a.regions] == [r.box for r in b.regions]
        if b.error is None:
            assert a.score == pytest.approx(b.score, rel=1e-5)
            np.testing.assert_allclose(a.map, b.map, rtol=0, atol=1e-5 * b.map.max())
            assert np.array_equal(a.mask, b.mask)


def test_the_command_says_the_same_on_ray_as_here(cluster, place) -> None:
    words = ["inspect", str(place / "model.safetensors"), str(place / "parts"), "--json"]
    here, there = (CliRunner().invoke(app, [*words, *more]) for more in ([], ["--on", "ray"]))
    assert here.exit_code == there.exit_code == 2, there.output  # one file is no image
    own, found = ([json.loads(line) for line in said.stdout.splitlines()] for said in (here, there))
    assert [(v["key"], v["verdict"]) for v in found] == [(v["key"], v["verdict"]) for v in own]
    assert len(found) == 10
    wrong = CliRunner().invoke(app, [*words, "--address", "auto"])
    assert isinstance(wrong.exception, InputError)


def test_what_is_wrong_is_said_before_the_cluster_is_asked(place, tmp_path) -> None:
    with pytest.raises(FormatError, match="does not exist"):
        list(inspect_on_ray(tmp_path / "none.onnx", []))


def test_a_cluster_that_is_not_there(monkeypatch, place) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def nobody(**settings: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", nobody)
    with pytest.raises(InputError, match="no Ray cluster at 'auto'"):
        RayBackend("auto")
