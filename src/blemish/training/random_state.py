"""Random numbers of a fit: seeded, kept, put back; Python's, numpy's and torch's own generators, and those of `seeded`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch

from blemish.training.processes import processes, rank

generators: ContextVar[tuple[torch.Generator, ...]] = ContextVar("generators", default=())
"""The generators of the open `seeded` blocks, outermost first."""


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Seed Python, numpy and torch inside the block and put their states back after it."""
    states = random_states()
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    token = generators.set((*generators.get(), generator))
    try:
        yield generator
    finally:
        generators.reset(token)
        set_random_states(states)


def random_states() -> dict[str, Any]:
    """Return the states of Python's, numpy's and torch's random numbers, and of each GPU's that is in use."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    numpy = np.random.get_state()  # noqa: NPY002
    return {"python": random.getstate(), "numpy": numpy, "torch": torch.get_rng_state(), "cuda": cuda}


def set_random_states(states: dict[str, Any]) -> None:
    """Put back what `random_states` returned."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


def random_state() -> dict[str, Any]:
    """Return the states of the global random numbers and of the generators of the open `seeded` blocks."""
    return {"random": random_states(), "generators": [generator.get_state() for generator in generators.get()]}


def set_random_state(states: dict[str, Any]) -> None:
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
