"""blemish: learn what a good part looks like, then find, localise and explain defects."""

__version__ = "0.1.0"
