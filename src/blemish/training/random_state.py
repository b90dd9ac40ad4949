"""Random state of a fit, seeded, saved, restored: Python's, numpy's and torch's generators, and those of `seeded`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch

generators: ContextVar[tuple[torch.Generator, ...]] = ContextVar("generators", default=())
"""The generators of the open `seeded` blocks, outermost first."""


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Seed Python, numpy and torch inside the block, and restore their states after it.

    Args:
        seed: The seed.

    Yields:
        A generator of the block's own, on the CPU, with the same seed.
    """
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
    """Return the states of Python's, numpy's and torch's global generators, and of the GPUs' if they are in use."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    numpy = np.random.get_state()  # noqa: NPY002
    return {"python": random.getstate(), "numpy": numpy, "torch": torch.get_rng_state(), "cuda": cuda}


def set_random_states(states: dict[str, Any]) -> None:
    """Restore the states of the global generators.

    Args:
        states: What `random_states` returned.
    """
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


def random_state() -> dict[str, Any]:
    """Return the states of the global generators and of those of the open `seeded` blocks."""
    return {"random": random_states(), "generators": [generator.get_state() for generator in generators.get()]}


def set_random_state(states: dict[str, Any]) -> None:
    """Restore the states of the global generators and of those of the open `seeded` blocks.

    Args:
        states: What `random_state` returned.
    """
    set_random_states(states["random"])
    for generator, state in zip(reversed(generators.get()), reversed(states["generators"]), strict=False):
        generator.set_state(state)
