"""Computed images of good and defective parts: six products with their defects and exact masks."""

from blemish.data.synthetic.render import CATEGORIES, render
from blemish.data.synthetic.write import make

__all__ = ["CATEGORIES", "make", "render"]
