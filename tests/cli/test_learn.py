"""What fitting says of its length before it begins, and how long a demonstration takes."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import blemish.models
from blemish.cli import app
from blemish.core import registry
from blemish.core.errors import UnknownName
from blemish.engine import Engine
from parts import write_folder

LONG = "ae is trained: 15,625 steps at 256 x 256 pixels, in batches of 32."


class Begun(Exception):
    """The fit would begin now."""


@pytest.fixture
def begun(monkeypatch) -> list:
    """Stop where a fit begins, and keep what it was given."""
    kept = []

    def fit(self, model, data, **rest):
        kept.append((model.params, data.imaging.size, data.train_batch_size))
        raise Begun

    monkeypatch.setattr(Engine, "fit", fit)
    return kept


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], f"{LONG} Shorter: --preset quick, 400 steps at 128 x 128 pixels, in batches of 8."),
        (["-s", "steps=300"], "ae is trained: 300 steps at 256 x 256 pixels, in batches of 32."),
        (["--preset", "paper"], LONG.replace("of 32", "of 128")),
        (["--preset", "quick"], "ae is trained: 400 steps at 128 x 128 pixels, in batches of 8."),
        (["--json"], ""),
        (["-m", "patchcore"], ""),
    ],
)
def test_fit_says_how_long_it_trains_before_it_begins(begun, tmp_path, options, said) -> None:
    done = CliRunner().invoke(app, ["fit", str(write_folder(tmp_path, good=9, bad=1)), "-m", "ae", *options])
    assert isinstance(done.exception, Begun), done.output
    assert done.stderr.strip() == said
    assert not done.stdout


def test_the_parameters_that_count_steps_are_known() -> None:
    """The parameters that count steps are those that methods train by."""
    sources = [path.read_text(encoding="utf-8") for path in Path(blemish.models.__path__[0]).glob("*.py")]
    used = {name for source in sources for name in re.findall(r"\bsteps=self\.(\w+)", source)}
    assert used == set(registry.TRAININGS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "steps", "size"),
    [([], 400, 128), (["--preset", "quick"], 400, 128), (["--preset", "paper"], 15_625, 256)],
)
def test_a_demonstration_takes_the_quick_preset_and_says_so(begun, tmp_path, options, steps, size) -> None:
    done = CliRunner().invoke(app, ["demo", "-m", "ae", "-c", "fabric", "-o", str(tmp_path), *options])
    assert isinstance(done.exception, Begun), done.output
    ((params, size_given, _),) = begun
    assert (params["steps"], size_given) == (steps, (size, size))
    assert f"of ae, {steps:,} steps at {size} x {size} pixels" in done.stdout


@pytest.mark.slow
def test_a_demonstration_of_what_is_not_trained_is_as_it_was(begun, tmp_path) -> None:
    done = CliRunner().invoke(app, ["demo", "-c", "fabric", "-o", str(tmp_path)])
    assert begun[0][1:] == ((256, 256), 32)
    assert "Settings" not in done.stdout
    done = CliRunner().invoke(app, ["demo", "-c", "fabric", "-o", str(tmp_path), "--preset", "quick"])
    assert isinstance(done.exception, UnknownName)


def test_names_and_words_of_other_libraries_are_understood(begun, tmp_path) -> None:
    root = write_folder(tmp_path / "parts", good=12)
    found = CliRunner().invoke(app, ["fit", str(root), "-m", "stfpm", "-s", "epochs=3"])
    assert "unknown parameter of" in str(found.exception)
    assert "epochs: a training is as long as the model's `steps`." in str(found.exception)
    assert registry.method("ReverseDistillation") is blemish.models.RD4AD
