"""Frozen networks: an image in, a list of feature maps out."""
