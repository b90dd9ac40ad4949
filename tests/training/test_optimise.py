"""The gradient loop, endless batches, and seeds."""

import random
from collections.abc import Callable
from io import StringIO

import numpy as np
import pytest
import torch
from torch import nn

from blemish.core.errors import InputError
from blemish.core.progress import progress
from blemish.core.types import Batch
from blemish.training.device import device_of
from blemish.training.optimise import cycle, optimise
from blemish.training.random_state import seeded
from parts import Parts, stripes


def line_fit(steps: int, **options) -> tuple[nn.Linear, list[float]]:
    with seeded(0):
        module = nn.Linear(1, 1)
    x = torch.linspace(-1, 1, 32)[:, None]
    batch = Batch({"x": x, "y": 3 * x + 1})

    def loss(b: Batch) -> torch.Tensor:
        assert module.training
        return (module(b.inputs["x"]) - b.inputs["y"]).square().mean()

    optimiser = torch.optim.SGD(module.parameters(), lr=0.3)
    return module, optimise(module, loss, [batch], steps=steps, optimiser=optimiser, **options)


def test_optimise_learns_and_leaves_eval_mode() -> None:
    module, losses = line_fit(200)
    assert len(losses) == 200
    assert losses[-1] < 1e-6 * losses[0]
    assert module.weight.item() == pytest.approx(3, abs=1e-3)
    assert not module.training


def test_no_gradient_is_kept_outside_the_module_either() -> None:
    """No gradient is kept in memory also of what lies outside the module."""
    module, _ = line_fit(2)
    assert [p.grad for p in module.parameters()] == [None, None]
    module, other = nn.Linear(1, 1), nn.Linear(1, 1)
    batch = Batch({"x": torch.ones(1, 1)})

    def loss(b: Batch) -> torch.Tensor:
        return (other(module(b.inputs["x"])) - 1).square().mean()

    optimise(module, loss, [batch], steps=2, optimiser=torch.optim.SGD(other.parameters(), lr=0.1))
    assert all(p.grad is None for p in (*module.parameters(), *other.parameters()))


def test_a_small_step_is_a_small_step() -> None:
    module, _ = line_fit(1, clip=1e-4)
    with seeded(0):
        start = nn.Linear(1, 1)
    moved = torch.cat(
        [(a - b).detach().flatten() for a, b in zip(module.parameters(), start.parameters(), strict=True)]
    )
    assert float(moved.norm()) == pytest.approx(0.3 * 1e-4, rel=0.05)


def test_a_diverging_loss_stops_at_once_and_leaves_eval_mode() -> None:
    module = nn.Linear(1, 1)
    batch = Batch({"x": torch.ones(1, 1)})
    with pytest.raises(InputError, match="nan at step 1; try a smaller learning rate"):
        optimise(
            module,
            lambda b: module(b.inputs["x"]).sum() * float("nan"),
            [batch],
            steps=5,
            optimiser=torch.optim.SGD(module.parameters(), lr=1.0),
        )
    assert not module.training


def test_adversaries_take_turns_each_with_its_own_optimiser() -> None:
    module = nn.ParameterDict({"a": torch.zeros(1), "b": torch.zeros(1)})
    turns: list[str] = []

    def pull(name: str, to: float) -> Callable[[Batch], torch.Tensor]:
        def loss(batch: Batch) -> torch.Tensor:
            turns.append(name)
            return (module[name] - to).square().sum()

        return loss

    optimisers = [torch.optim.SGD([module[name]], lr=0.25) for name in "ab"]
    batch = Batch({"x": torch.zeros(1)})
    schedule = [torch.optim.lr_scheduler.ConstantLR(each, 1.0) for each in optimisers]
    losses = optimise(
        module,
        [pull("a", 1.0), pull("b", 4.0)],
        [batch],
        steps=4,
        optimiser=optimisers,
        every=(1, 2),
        schedule=schedule,
    )
    assert turns == ["a", "a", "b", "a", "a", "b"]
    assert losses == pytest.approx([0.25**step for step in range(4)])  # each step halves the way that is left
    assert module["a"].item() == pytest.approx(1 - 0.5**4)
    assert module["b"].item() == pytest.approx(4 * (1 - 0.5**2))


def test_cycle_gives_exactly_what_is_asked() -> None:
    batches = list(Parts(stripes(5, (16, 16), 0), batch_size=2))
    assert [len(b) for b in cycle(batches, 7)] == [2, 2, 1, 2, 2, 1, 2]
    with pytest.raises(InputError, match="no batch"):
        list(cycle([], 3))
    with pytest.raises(InputError, match="at least 1"):
        line_fit(0)


def test_seeded_decides_inside_and_forgets_outside() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    with seeded(3) as generator:
        one = draw(), float(torch.rand((), generator=generator))
    before = torch.get_rng_state(), random.getstate()
    with seeded(3) as generator:
        two = draw(), float(torch.rand((), generator=generator))
    assert one == two
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


def test_the_bar_shows_the_mean_loss_where_somebody_watches(monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    screen = StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", screen)
    assert list(progress(range(3), "learning", total=9, done=6, note=lambda: "loss 0.25")) == [0, 1, 2]
    assert "learning loss 0.25" in screen.getvalue()
    assert "9/9" in screen.getvalue()
    shown = len(screen.getvalue())
    monkeypatch.setenv("RANK", "1")  # of several processes the first shows a bar
    assert list(progress(range(3), "learning", note=lambda: "loss 0.25")) == [0, 1, 2]
    assert len(screen.getvalue()) == shown
    monkeypatch.setenv("RANK", "0")
    _, losses = line_fit(60)
    assert f"loss {np.mean(losses[-50:]):.4g}" in screen.getvalue()


def test_small_things() -> None:
    assert list(progress(range(3), "x")) == [0, 1, 2]
    assert device_of(nn.Identity()).type == "cpu"
    assert device_of(nn.Linear(1, 1)).type == "cpu"
