"""How far a run is, and how it is kept, so that a killed run goes on where it stopped."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from learner import Learner, Plan
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from blemish.core.files import write_atomically, write_text


@dataclass
class Clock:
    """How far a run is: `total` steps are known from the start (--steps), or when the fall begins (--minutes)."""

    total: int = 0
    minutes: float = 0.0
    step: int = 0
    seconds: float = 0.0

    def settle(self) -> None:
        """Fix the number of steps when three quarters of the time are over."""
        if not self.total and self.step and self.step % 3 == 0 and self.seconds >= 45 * self.minutes:
            self.total = self.step // 3 * 4

    def factor(self) -> float:
        """Return the learning rate's share for the coming step, in (0, 1]."""
        rise = (self.step + 1) / 200
        fall = (self.total - self.step) / max(1, self.total // 4) if self.total else 1.0
        return min(1.0, rise, fall)

    @property
    def done(self) -> bool:
        """Whether all steps are taken; False while their number is unknown."""
        return bool(self.total) and self.step >= self.total


def save(path: Path, plan: Plan, learner: Learner, optimiser: torch.optim.Optimizer, clock: Clock) -> None:
    """Write everything a killed run needs: weights, batch statistics, Adam's moments, the clock."""
    tensors = {f"learner.{name}": value.contiguous() for name, value in learner.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value.contiguous() for name, value in state.items()}
    metadata = {"plan": json.dumps(asdict(plan)), "clock": json.dumps(asdict(clock))}
    write_atomically(path, lambda part: save_file(tensors, part, metadata))


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata that `save` wrote."""
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def steps_of(path: Path) -> int:
    """Return how many steps lie behind a checkpoint, or behind shipped weights with the runs before theirs."""
    metadata = read_checkpoint(path)[1]
    if "clock" in metadata:
        return int(json.loads(metadata["clock"])["step"])
    trained = json.loads(metadata["trained"])
    return int(trained["start_steps"] + trained["steps"])


def learner_weights(held: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint's weights under the learner's own names."""
    return {key.removeprefix("learner."): value for key, value in held.items() if key.startswith("learner.")}


def restore(path: Path, plan: Plan, learner: Learner, optimiser: torch.optim.Optimizer, clock: Clock) -> None:
    """Put a checkpoint back; stop if it belongs to another plan."""
    held, metadata = read_checkpoint(path)
    if json.loads(metadata["plan"]) != asdict(plan):
        raise SystemExit(
            f"{path} was written with {metadata['plan']}. Give the same options, or another --work folder."
        )
    learner.load_state_dict(learner_weights(held))
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in held.items():
        if key.startswith("adam."):
            _, index, name = key.split(".")
            states.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
    before = json.loads(metadata["clock"])
    clock.step, clock.seconds, clock.total = before["step"], before["seconds"], clock.total or before["total"]


def log(path: Path, row: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, row.keys())
        if new:
            writer.writeheader()
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def shorten(path: Path, step: int) -> None:
    """Forget what was logged after `step`: those steps are taken again."""
    if path.exists():
        head, *rows = path.read_text().splitlines()
        at = head.split(",").index("step")
        write_text(path, "\n".join([head, *(row for row in rows if int(row.split(",")[at]) <= step)]) + "\n")
