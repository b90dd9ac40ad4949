"""Where the dice are: all random numbers that a fit may draw, kept and put back."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from blemish.training import generators, random_states, seeded, set_random_states
from blemish.training_session.processes import processes, rank


def chance() -> dict[str, Any]:
    """Return the states of the global random numbers and of the generators of the open `seeded` blocks."""
    return {"random": random_states(), "generators": [generator.get_state() for generator in generators.get()]}


def set_chance(states: dict[str, Any]) -> None:
    """Put back what `chance` returned."""
    set_random_states(states["random"])
    for generator, state in zip(reversed(generators.get()), reversed(states["generators"]), strict=False):
        generator.set_state(state)


def own_randomness(step: int) -> AbstractContextManager[Any]:
    """Let each of several processes draw its own random numbers, and all of them the same ones again afterwards."""
    if processes() == 1:
        return nullcontext()
    shared = int(torch.randint(2**31, ()))
    return seeded(shared + processes() * step + rank())
