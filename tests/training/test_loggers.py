"""Runs in other tools' trackers: whatever has the methods of a Lightning logger, and the three known by name."""

from __future__ import annotations

import importlib
import warnings

import pytest
from tests.parts import write_folder

from blemish import Engine
from blemish.core.errors import InputError, UnknownName
from blemish.data import Folder
from blemish.models import AE, PatchCore
from blemish.training.loggers import check_loggers


class Told:
    """Notes what it is told, as a Lightning logger would be."""

    def __init__(self) -> None:
        self.params, self.metrics, self.status = {}, [], []

    def log_hyperparams(self, params) -> None:
        self.params.update(params)

    def log_metrics(self, metrics, step=None) -> None:
        self.metrics.append((dict(metrics), step))

    def finalize(self, status) -> None:
        self.status.append(status)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return Folder(write_folder(tmp_path_factory.mktemp("parts")), image_size=32, train_batch_size=4)


def test_a_logger_is_told_the_run_its_curve_and_the_test(data, tmp_path) -> None:
    told = Told()
    engine = Engine(tmp_path, logger=told)
    model = AE(steps=3)
    engine.fit(model, data, verbose=False)
    assert told.params["params"] == model.params
    assert told.params["data"]["split_sha256"] == data.split_sha256
    curve = [(values, step) for values, step in told.metrics if step is not None]
    assert [step for _, step in curve] == [1, 2, 3]
    assert {"01-fit/loss", "01-fit/rate", "01-fit/seconds"} == set(curve[0][0])
    assert told.status == ["success"]
    found = engine.test(model, data, verbose=False)
    last, step = told.metrics[-1]
    assert step is None
    assert last == {f"test/{name}": value for name, value in found[0].items()}
    assert told.status == ["success", "success"]


def test_a_logger_is_told_that_a_fit_failed(data, tmp_path, monkeypatch) -> None:
    def fails(self, given) -> None:
        raise OSError("the plug was pulled")

    told = Told()
    monkeypatch.setattr(PatchCore, "fit", fails)
    with pytest.raises(OSError, match="pulled"):
        Engine(tmp_path, logger=[told]).fit(PatchCore(), data, verbose=False)
    assert told.status == ["failed"]


def test_what_is_no_logger_is_refused_before_a_fit() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'mlflow'"):
        Engine(logger="mlfow")
    with pytest.raises(
        InputError, match=r"logger is 3; it must be one of tensorboard, mlflow, wandb, or an object with"
    ):
        Engine(logger=[3])
    assert check_loggers(None) == ()
    with pytest.raises(InputError, match="the Engine's `logger`"):
        Engine(loggers="mlflow")


def test_a_missing_package_is_named(data, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(InputError, match=r"logger 'mlflow' needs the package mlflow\. Install it: pip install mlflow"):
        Engine(tmp_path, logger="mlflow").fit(PatchCore(), data, verbose=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_the_known_trackers_hold_the_run(name, data, tmp_path, monkeypatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module(name)
        except ImportError:
            pytest.skip(f"{name} is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlruns")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")
    engine = Engine(tmp_path / "runs", logger=name)
    model = AE(steps=3)
    engine.fit(model, data, verbose=False)
    engine.test(model, data, verbose=False)
    folder = engine.run_of(model).folder
    if name == "tensorboard":
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder / "tensorboard"))
        events.Reload()
        assert [event.step for event in events.Scalars("01-fit/loss")] == [1, 2, 3]
        assert len(events.Scalars("test/image_AUROC")) == 1
    elif name == "mlflow":
        import mlflow

        client = mlflow.MlflowClient()
        run = client.get_run((folder / "mlflow-run-id").read_text().strip())
        assert run.info.status == "FINISHED"
        assert run.data.params["params.steps"] == "3"
        assert [metric.step for metric in client.get_metric_history(run.info.run_id, "01-fit/loss")] == [1, 2, 3]
        assert "test/image_AUROC" in run.data.metrics
    else:
        kept = (folder / "wandb-run-id").read_text().strip()
        assert len(list((folder / "wandb").glob(f"offline-run-*-{kept}"))) == 2, "the fit's and the test's"
