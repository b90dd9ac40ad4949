"""Metrics on raw scores: exact functions, and accumulators tested equal to them."""
