"""Data sets, folders and splits: where the parts are and what is known about them."""
