"""Shared mathematics: tensors in, tensors out, one idea a file."""
