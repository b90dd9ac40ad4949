"""Protocols: fit, test, predict, and the folders that keep what came of them."""
