"""Measuring: an inspector on parts of known truth, under a setting, with what can go wrong with images. No torch."""
