"""Where the dice are: all random numbers that a fit may draw, kept and put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from blemish.training.optimise import generators, random_states, seeded, set_random_states
from blemish.training.processes import processes, rank


def chance() -> dict[str, Any]:
    """Return the states of the global random numbers and of the generators of the open `seeded` blocks."""
    return {"random": random_states(), "generators": [generator.get_state() for generator in generators.get()]}


def set_chance(states: dict[str, Any]) -> None:
    """Put back what `chance` returned."""
    set_random_states(states["random"])
    for generator, state in zip(reversed(generators.get()), reversed(states["generators"]), strict=False):
        generator.set_state(state)


@contextmanager
def own_randomness(step: int) -> Iterator[None]:
    """Let each of several processes draw its own random numbers, and all of them the same ones again afterwards."""
    if processes() == 1:
        yield
        return
    shared = int(torch.randint(2**31, ()))
    outer = [(generator, generator.get_state()) for generator in generators.get()]
    own = shared + processes() * step + rank()
    try:
        with seeded(own):
            for generator, _ in outer:
                generator.manual_seed(own)
            yield
    finally:
        for generator, state in outer:
            generator.set_state(state)
