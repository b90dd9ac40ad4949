"""Protocols: fit, test, predict, and the folders that keep what came of them. `Engine` is loaded when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blemish.engine.engine import Engine

__all__ = ["Engine"]


def __getattr__(name: str) -> Any:
    if name != "Engine":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from blemish.engine.engine import Engine  # needs torch, which what stands beside it does without

    return Engine
