"""Protocols: fit, test, predict, and the folders that keep what came of them."""

from blemish.engine.engine import Engine

__all__ = ["Engine"]
