"""The check of docstrings finds what is missing, and nothing else."""

import ast
import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "docstrings.py"

WHOLE = '''
class Base:
    def look(self, image):
        """Look.

        Args:
            image: (H, W).
        """

class Part(Base):
    """A part.

    Args:
        size: In millimetres.
    """
    def __init__(self, size, _own=None): ...
    def look(self, image):
        """The same, documented above."""
    @property
    def area(self) -> float:
        """Its area."""
    def _private(self, x) -> int: ...

def name() -> str:
    """Return a name."""

def weigh(part, *more, unit="g") -> float:
    """Weigh.

    Args:
        part: What.
        *more: What else.
        unit: A unit of
            mass.

    Returns:
        The mass.

    Raises:
        ValueError: an unknown unit.
    """
    if unit != "g":
        raise ValueError(unit)
    return 1.0
'''


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("docstrings", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def found(tool, text: str) -> list[str]:
    tree = ast.parse(text)
    return [problem for _, problem in tool.problems(tree, tool._bases([tree]))]


def test_what_is_whole_passes(tool) -> None:
    assert found(tool, WHOLE) == []


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("        unit: A unit of\n            mass.\n", "weigh does not document unit"),
        ("        *more: What else.\n", "weigh does not document more"),
        ("    Returns:\n        The mass.\n\n", "weigh has no Returns:"),
        ("    Raises:\n        ValueError: an unknown unit.\n", "weigh has no Raises:"),
        ("    Args:\n        size: In millimetres.\n", "Part does not document size"),
        ("        Args:\n            image: (H, W).\n", "Base.look does not document image"),
    ],
)
def test_what_is_missing_is_named(tool, gone, said) -> None:
    assert gone in WHOLE
    assert found(tool, WHOLE.replace(gone, "", 1)) == [said]


def test_all_public_docstrings_of_the_library_are_whole(tool, capsys) -> None:
    assert tool.main([]) == 0
    assert "whole" in capsys.readouterr().out
