"""Long trainings: resumed to the same weights bit for bit, refused where they do not fit, stopped in time, shared."""

import csv
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blemish.core.errors import FormatError, InputError
from blemish.core.types import Batch
from blemish.models import SimpleNet
from blemish.training.checkpoint import read_state, write_state
from blemish.training.optimise import Position, cycle, optimise, pass_at
from blemish.training.random_state import seeded
from blemish.training.session import session
from parts import Parts, stripes


class Points:
    """Batches of (x, y) near a line, in another order each time they are iterated."""

    def __init__(self, batch: int = 4, count: int = 24) -> None:
        with seeded(7):
            self.x = torch.randn(count, 3)
        self.y, self.batch, self.epoch = self.x.sum(1, keepdim=True) + 1, batch, 0

    def __iter__(self) -> Iterator[Batch]:
        order = np.random.default_rng(self.epoch).permutation(len(self.x))
        self.epoch += 1
        for at in torch.from_numpy(order).split(self.batch):
            yield Batch({"x": self.x[at], "y": self.y[at]})


class Learner:
    """Two phases, of which the second has two optimisers; noise from everywhere; something made between the phases."""

    def __init__(
        self, trip: Callable[[int, str], None] = lambda step, name: None, steps: int = 11, lr: float = 0.01
    ) -> None:
        self.trip, self.steps, self.lr, self.calls = trip, steps, lr, 0
        with seeded(1):
            self.net = nn.ModuleDict(
                {name: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)) for name in "ab"}
            )

    def loss(self, name: str, generator: torch.Generator) -> Callable[[Batch], Tensor]:
        def loss(batch: Batch) -> Tensor:
            self.calls += 1
            self.trip(self.calls, name)
            dice = random.random() + float(np.random.rand()) + float(torch.rand(()))  # noqa: NPY002
            noise = torch.randn(batch.inputs["x"].shape, generator=generator)
            found = self.net[name](batch.inputs["x"] + 0.1 * dice * noise)
            return (found - batch.inputs["y"]).square().mean()

        return loss

    def fit(self, data: Points) -> list[float]:
        with seeded(2) as generator:
            one = torch.optim.AdamW(self.net["a"].parameters(), lr=self.lr)
            fall = torch.optim.lr_scheduler.MultiStepLR(one, [3, 8])
            first = optimise(
                self.net, self.loss("a", generator), data, steps=self.steps, optimiser=one, schedule=fall, clip=1.0
            )
            between = torch.rand(())
            both = [
                torch.optim.Adam(self.net["a"].parameters(), self.lr),
                torch.optim.SGD(self.net["b"].parameters(), 0.01, 0.9),
            ]
            losses = [self.loss(name, generator) for name in "ab"]
            second = optimise(self.net, losses, data, steps=self.steps, optimiser=both, every=(1, 2), label="two turns")
        return [*first, float(between), *second]


def trip_at(call: int, error: Callable[[], None]) -> Callable[[int, str], None]:
    def trip(calls: int, name: str) -> None:
        if calls == call:
            error()

    return trip


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def break_off() -> None:
    raise RuntimeError("a broken disk")


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[Learner, list[float]]:
    learner = Learner()
    return learner, learner.fit(Points())


def same_weights(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_session_changes_nothing(uninterrupted, tmp_path) -> None:
    learner = Learner()
    with session(tmp_path):
        assert learner.fit(Points()) == uninterrupted[1]
    assert same_weights(learner.net, uninterrupted[0].net)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "01-fit.csv",
        "01-fit.safetensors",
        "02-two-turns.csv",
        "02-two-turns.safetensors",
    ]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# Calls 1 to 11 are the first phase. Then come the turns a, a b, a, a b, ...: call 14 is the second turn of a step.
@pytest.mark.parametrize("call", [1, 4, 7, 11, 12, 14, 17])
@pytest.mark.parametrize(
    ("error", "kind", "save_every"), [(ctrl_c, KeyboardInterrupt, 60), (break_off, RuntimeError, 0)]
)
def test_resumed_bit_for_bit(uninterrupted, tmp_path, call, error, kind, save_every) -> None:
    with pytest.raises(kind), session(tmp_path, save_every=save_every):
        Learner(trip_at(call, error)).fit(Points())
    again = Learner()
    with session(tmp_path):
        losses = again.fit(Points())
    assert losses == uninterrupted[1]
    assert same_weights(again.net, uninterrupted[0].net)
    assert again.calls < uninterrupted[0].calls or (call == 1 and error is break_off), "what was done is not done again"
    for path in tmp_path.glob("*.csv"):
        rows = rows_of(path)
        assert [int(row["step"]) for row in rows] == list(range(1, 12))
        seconds = [float(row["seconds"]) for row in rows]
        assert seconds == sorted(seconds)


def test_interrupted_again_and_again(uninterrupted, tmp_path) -> None:
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), session(tmp_path):
            Learner(trip_at(5, ctrl_c)).fit(Points())
    again = Learner()
    with session(tmp_path):
        assert again.fit(Points()) == uninterrupted[1]
    assert same_weights(again.net, uninterrupted[0].net)
    assert again.calls == uninterrupted[0].calls - 15


def test_an_error_of_the_data_keeps_the_last_step(uninterrupted, tmp_path) -> None:
    class Torn(Points):
        def __iter__(self) -> Iterator[Batch]:
            for i, batch in enumerate(super().__iter__()):
                if self.epoch == 2 and i == 2:
                    torch.rand(5)  # reading may draw random numbers: they belong to no step
                    raise OSError("the disk was pulled")
                yield batch

    with pytest.raises(OSError, match="pulled"), session(tmp_path):
        Learner().fit(Torn())
    again = Learner()
    with session(tmp_path):
        assert again.fit(Points()) == uninterrupted[1]
    assert again.calls == uninterrupted[0].calls - 8


def test_a_batch_that_was_read_but_not_learned_is_read_again(uninterrupted, tmp_path, monkeypatch) -> None:
    moves: list[Batch] = []

    def to(batch: Batch, device: torch.device) -> Batch:
        moves.append(batch)
        if len(moves) == 6:
            raise RuntimeError("out of memory")
        return batch

    monkeypatch.setattr("blemish.training.optimise.to", to)
    with pytest.raises(RuntimeError, match="memory"), session(tmp_path):
        Learner().fit(Points())
    again = Learner()
    with session(tmp_path):
        assert again.fit(Points()) == uninterrupted[1]
    assert again.calls == uninterrupted[0].calls - 5


def test_a_complete_fit_is_not_fitted_again(tmp_path) -> None:
    images = stripes(12, (64, 64), seed=0)
    tiny = {"steps": 4, "hidden": 8, "noise": 0.3}
    plain = SimpleNet(**tiny).fit(Parts(images))
    with session(tmp_path):
        SimpleNet(**tiny).fit(Parts(images))
    with session(tmp_path):
        loaded = SimpleNet(**tiny).fit(Parts(images * 0))  # not looked at but to be counted
    assert same_weights(loaded, plain)
    with pytest.raises(InputError, match=r"params.noise is 0.3 there, 0.2 here.*another folder"), session(tmp_path):
        SimpleNet(**{**tiny, "noise": 0.2}).fit(Parts(images))


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"steps": 12}, {}, "steps is 11 there, 12 here"),
        ({"lr": 0.1}, {}, "lr is 0.01 there, 0.1 here"),
        ({}, {"precision": "bfloat16"}, "precision is float32 there, bfloat16 here"),
        ({}, {"settings": {"data": "bottle"}}, "fit.data is absent there, bottle here"),
    ],
)
def test_another_training_is_refused(tmp_path, changes, options, message) -> None:
    with pytest.raises(KeyboardInterrupt), session(tmp_path):
        Learner(trip_at(4, ctrl_c)).fit(Points())
    with pytest.raises(InputError, match=message), session(tmp_path, **options):
        Learner(**changes).fit(Points())


def test_other_shapes_and_foreign_parameters_are_refused(tmp_path) -> None:
    def fit(module: nn.Module, optimised: nn.Module) -> None:
        optimiser = torch.optim.SGD(optimised.parameters(), 0.1)
        optimise(module, lambda b: optimised(b.inputs["x"]).sum(), Points(), steps=2, optimiser=optimiser)

    wide, narrow = nn.Linear(3, 2), nn.Linear(3, 1)
    with session(tmp_path):
        fit(narrow, narrow)
    with pytest.raises(InputError, match=r"shapes.weight is \(1, 3\) there, \(2, 3\) here"), session(tmp_path):
        fit(wide, wide)
    with pytest.raises(InputError, match="parameters that Linear does not hold"), session():
        fit(narrow, wide)
    (tmp_path / "01-fit.safetensors").write_bytes(b"nothing")
    with pytest.raises(FormatError, match="not a readable"), session(tmp_path):
        fit(narrow, narrow)


def test_the_curve_has_every_turn_and_rate(uninterrupted, tmp_path) -> None:
    with session(tmp_path):
        Learner().fit(Points())
    one = rows_of(tmp_path / "01-fit.csv")
    assert list(one[0]) == ["step", "seconds", "loss", "rate"]
    assert [float(row["loss"]) for row in one] == pytest.approx(uninterrupted[1][:11], rel=1e-6)
    assert [float(row["rate"]) for row in one] == pytest.approx([0.01] * 2 + [0.001] * 5 + [0.0001] * 4)
    two = rows_of(tmp_path / "02-two-turns.csv")
    assert list(two[0]) == ["step", "seconds", "loss_1", "loss_2", "rate_1", "rate_2"]
    assert [row["loss_2"] == "" for row in two] == [step % 2 == 1 for step in range(1, 12)]


def learn_a_line(steps: int, validation: list[Batch], **options) -> tuple[nn.Linear, list[float]]:
    """Go from 0 towards 1 in steps of 0.1 by the sign of the gradient; the held-out loss is lowest at 0.5."""
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    data = [Batch({"y": torch.ones(2, 1)})]

    def loss(batch: Batch) -> Tensor:
        noise = torch.randn(()) * 1e-3  # the same at each check
        return (module.weight - batch.inputs["y"] + noise).abs().mean()

    with session(validation=validation, **options):
        return module, optimise(module, loss, data, steps=steps, optimiser=optimiser)


def test_early_stopping_keeps_the_best_weights(tmp_path) -> None:
    validation = [Batch({"y": torch.full((size, 1), y)}) for size, y in ((3, 0.4), (1, 0.8))]
    before = torch.get_rng_state()
    with seeded(0):
        module, losses = learn_a_line(10, validation, folder=tmp_path, patience=3, check_every=1)
    assert torch.equal(before, torch.get_rng_state())
    expected = [(3 * abs(0.1 * step - 0.4) + abs(0.1 * step - 0.8)) / 4 for step in range(1, 8)]
    assert module.weight.item() == pytest.approx(0.4), "the weighted mean is lowest there"
    assert len(losses) == 7, "4 was the best, 5, 6 and 7 were not better"
    found = [float(row["validation"]) for row in rows_of(tmp_path / "01-fit.csv")]
    assert found == pytest.approx(expected, abs=5e-3)
    assert not module.training
    with seeded(0):
        again, more = learn_a_line(10, validation, folder=tmp_path, patience=3, check_every=1)
    assert torch.equal(again.weight, module.weight)
    assert more == losses


def test_checks_draw_nothing_from_the_training(uninterrupted) -> None:
    with session(validation=list(Points()), patience=100, check_every=2):
        assert Learner().fit(Points())[:11] == uninterrupted[1][:11]
    with pytest.raises(InputError, match="validation holds no batch"), session(validation=[], check_every=1):
        Learner().fit(Points())


def test_half_precision_keeps_float32_weights() -> None:
    """Half precision computes in it and keeps float32 weights."""
    module, kinds = nn.Linear(3, 1), set()

    def loss(batch: Batch) -> Tensor:
        found = module(batch.inputs["x"])
        kinds.add(found.dtype)
        return (found.float() - batch.inputs["y"]).square().mean()

    with session(precision="bfloat16"):
        optimiser = torch.optim.SGD(module.parameters(), 0.1)
        losses = optimise(module, loss, Points(), steps=60, optimiser=optimiser)
    assert kinds == {torch.bfloat16}
    assert module.weight.dtype == torch.float32
    assert losses[-1] < 0.01 * losses[0]


@pytest.mark.parametrize("wrong", [{"precision": "float16"}, {"patience": 0}, {"check_every": 0}, {"save_every": -1}])
def test_impossible_options(wrong) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))), session(**wrong):
        pass


def test_a_second_ctrl_c_acts_at_once(tmp_path) -> None:
    after: list[str] = []

    def twice() -> None:
        ctrl_c()
        after.append("the first waits")
        ctrl_c()
        after.append("the second does not")

    with pytest.raises(KeyboardInterrupt), session(tmp_path):
        Learner(trip_at(3, twice)).fit(Points())
    assert after == ["the first waits"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_state_of_any_shape_is_written_and_read(tmp_path) -> None:
    tied = torch.rand(2, 3)
    state = {
        "a": [1, 2.5, None, True, "text", float("inf")],
        3: (tied, tied.T, np.arange(3, dtype=np.uint32)),
        "empty": [torch.empty(0), {}, []],
    }
    found = read_state(write_state(tmp_path / "x.safetensors", state))
    assert list(found) == ["a", 3, "empty"]
    assert found["a"] == state["a"]
    assert isinstance(found[3], tuple)
    assert torch.equal(found[3][0], tied)
    assert torch.equal(found[3][1], tied.T)
    assert found[3][2].dtype == np.uint32
    assert found["empty"][0].shape == (0,)
    with pytest.raises(InputError, match=r"state.0 is a object"):
        write_state(tmp_path / "y.safetensors", [object()])


def test_a_position_is_found_again_by_counting_the_passes() -> None:
    whole, at = [b.inputs["x"] for b in cycle(Points(), 20)], Position()
    list(cycle(Points(), 8, at))
    assert (at.passes, at.batch) == (1, 2)
    rest = [b.inputs["x"] for b in cycle(Points(), 12, at)]
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[8:], strict=True))
    data = Points()
    pass_at(data, Position(passes=3, batch=2))
    assert data.epoch == 4
    edge = Position(passes=0, batch=6)  # a whole pass was taken, the next not begun
    assert torch.equal(next(cycle(Points(), 1, edge)).inputs["x"], whole[6])


WORKER = """
import sys
from pathlib import Path
import torch
from test_session import learn_together
from blemish.training.session import distributed
from blemish.training.checkpoint import write_state

folder = Path(sys.argv[1])
torch.manual_seed(0)
with distributed():
    rank = torch.distributed.get_rank()
    state = learn_together(4, folder / "run", steps=9)
    state["again"] = learn_together(4, folder / "run", steps=9)
    state["unwatched"] = learn_together(4, None, steps=9)
state["afterwards"] = torch.rand(3)
write_state(folder / f"{rank}.safetensors", state)
"""


def learn_together(batch: int, folder: Path | None, steps: int) -> dict[str, object]:
    """Learn a line twice over, in one and in two turns; half of the parameters are unused in the first phase."""
    with seeded(0):
        net = nn.ModuleDict({name: nn.Linear(3, 1) for name in "ab"})
    net.register_buffer("seen", torch.zeros(()))
    dice: list[tuple[float, float]] = []

    def loss(name: str) -> Callable[[Batch], Tensor]:
        def run(batch: Batch) -> Tensor:
            net.seen += batch.inputs["x"].sum()
            dice.append((float(torch.rand(())), float(torch.rand((), generator=generator))))
            return (net[name](batch.inputs["x"]) - batch.inputs["y"]).square().mean()

        return run

    data = Points(batch)
    one = torch.optim.Adam(net["a"].parameters(), 0.05)
    two = torch.optim.SGD(net["b"].parameters(), 0.05)
    watched = session(folder, validation=None if folder is None else list(Points()), check_every=2)
    with watched, seeded(5) as generator:
        losses = optimise(net, loss("a"), data, steps=steps, optimiser=one, clip=0.5)
        losses += optimise(net, [loss("a"), loss("b")], data, steps=steps, optimiser=[one, two], every=(1, 2))
        after = torch.rand(3, generator=generator)
    return {"net": net.state_dict(), "losses": losses, "dice": dice, "after": after}


@pytest.mark.slow
def test_two_processes_equal_one_with_double_batches(tmp_path) -> None:
    """Two processes learn what one does with batches twice as large."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "worker.py").write_text(WORKER)
    torchrun = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo"}
    torchrun["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    torchrun["CUDA_VISIBLE_DEVICES"] = ""
    workers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(tmp_path / "worker.py"), str(tmp_path)],
            env={**os.environ, **torchrun, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = [worker.communicate(timeout=120)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    alone = learn_together(8, tmp_path / "alone", steps=9)
    zero, one = (read_state(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    for found in (zero, one):
        assert found["losses"] == pytest.approx(alone["losses"], rel=1e-5)
        for name in ("a.weight", "a.bias", "b.weight", "b.bias"):
            torch.testing.assert_close(found["net"][name], alone["net"][name], rtol=0, atol=1e-5)  # type: ignore[index]
            assert torch.equal(found["net"][name], found["again"]["net"][name])
        assert found["again"]["losses"] == found["losses"]
    for key in zero["net"]:
        assert torch.equal(zero["net"][key], one["net"][key])
        assert torch.equal(zero["unwatched"]["net"][key], one["unwatched"]["net"][key])
    own = list(zip(*zero["unwatched"]["dice"], strict=True)), list(zip(*one["unwatched"]["dice"], strict=True))
    assert all(set(a).isdisjoint(b) for a, b in zip(*own, strict=True)), "each process draws its own random numbers"
    assert torch.equal(zero["after"], one["after"])
    assert torch.equal(zero["afterwards"], one["afterwards"]), "and afterwards they agree again"
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == sorted(
        p.name for p in (tmp_path / "alone").iterdir()
    )
