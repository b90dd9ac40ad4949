"""Early stopping: held-out good parts decide when a training stops and which weights were best."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from blemish.core.errors import InputError
from blemish.core.types import Batch
from blemish.training.device import device_of, to
from blemish.training.optimise import Loss
from blemish.training.processes import agreed, level
from blemish.training.random_state import generators, random_state, seeded, set_random_state


class EarlyStopping:
    """The mean validation loss, always in eval mode and with the same random numbers, and the weights of its minimum.

    Args:
        module: The module that is trained.
        loss: Validation loss of a batch.
        data: Batches of held-out good parts, in a fixed order.
        patience: Checks without improvement after which training stops.
    """

    def __init__(self, module: nn.Module, loss: Loss, data: Iterable[Batch], patience: int) -> None:
        self.module, self.loss, self.data, self.patience = module, loss, data, patience
        self.best, self.waited, self.weights = float("inf"), 0, dict[str, Tensor]()

    @property
    def enough(self) -> bool:
        """Whether the last `patience` checks brought no improvement."""
        return self.waited >= self.patience

    def check(self) -> float:
        """Return the mean validation loss; keep the weights if it is the lowest so far."""
        level(self.module)
        value = agreed(self._mean(), device_of(self.module))
        self.waited += 1
        if value < self.best:
            self.best, self.waited = value, 0
            self.weights = {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}
        return value

    def _mean(self) -> float:
        before, device = random_state(), device_of(self.module)
        self.module.eval()
        try:
            with torch.no_grad(), seeded(0):
                for generator in generators.get():
                    generator.manual_seed(0)
                found = [(float(self.loss(to(batch, device))), len(batch)) for batch in self.data]
        finally:
            self.module.train()
            set_random_state(before)
        if not found:
            raise InputError("validation holds no batch; give good parts that are not learned from, or None")
        return float(np.average([loss for loss, _ in found], weights=[size for _, size in found]))

    def take_best(self) -> None:
        """Restore the best weights, if any were kept."""
        if self.weights:
            self.module.load_state_dict(self.weights)

    def state(self) -> dict[str, Any]:
        """Return the state for `load`: lowest loss, checks since then, best weights."""
        return {"best": self.best, "waited": self.waited, "weights": self.weights}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from an earlier state.

        Args:
            state: What `state` returned.
        """
        self.best, self.waited, self.weights = state["best"], state["waited"], state["weights"]
