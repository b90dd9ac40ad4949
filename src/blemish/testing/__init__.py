"""For those who write methods: the contract as checks, parts to check on, and tiny networks in place of large ones.

from blemish.testing import check_detector

def test_my_method_keeps_the_contract():
    check_detector(MyMethod, neighbours=3)
"""

from __future__ import annotations

from blemish.testing.checks import CheckReport, check_detector
from blemish.testing.networks import TinyFinder, TinyLanguageModel, TinySegmenter, TinyTextEncoder
from blemish.testing.parts import MadeParts, make_parts

__all__ = [
    "CheckReport",
    "MadeParts",
    "TinyFinder",
    "TinyLanguageModel",
    "TinySegmenter",
    "TinyTextEncoder",
    "check_detector",
    "make_parts",
]
