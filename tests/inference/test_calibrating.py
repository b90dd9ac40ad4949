"""Thresholds of several categories: each its own where there are parts for it, else that of all, and it is said."""

from __future__ import annotations

import pytest

from blemish.core.errors import InputError
from blemish.inference.calibrating import Rule, Scored, choose

GOOD = [Scored(float(i), None, "a") for i in range(10)] + [Scored(100.0 + i, None, "b") for i in range(10)]


def test_each_category_has_the_threshold_of_its_own_parts() -> None:
    found = choose(Rule(false_reject_rate=0.2), GOOD, [])
    for name in ("a", "b"):
        alone = choose(Rule(false_reject_rate=0.2), [part for part in GOOD if part.category == name], [])
        assert found.of(name).threshold == alone.threshold
    assert found.of("c").threshold == found.threshold
    assert found.note == choose(Rule(false_reject_rate=0.2), [part._replace(category="") for part in GOOD], []).note


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (Rule(false_reject_rate=0.2), [*GOOD, Scored(3.0, None, "c")], []),
        (Rule(escape_rate=0.5, confidence=0.5), [*GOOD, *[Scored(3.0 + i, None, "c") for i in range(5)]],
         [Scored(200.0 + i, None, name) for name in "ab" for i in range(10)]),
    ],
)  # fmt: skip
def test_too_few_parts_leave_the_threshold_of_all(rule, good, bad) -> None:
    """One good part of a category, or no defective ones where the rule looks at them."""
    found = choose(rule, good, bad)
    assert set(found.categories) == {"a", "b"}
    assert "Too few parts of c for a threshold of their own: that of all decides there." in found.note
    assert found.of("c").threshold == found.threshold


def test_one_part_in_all_is_too_few() -> None:
    with pytest.raises(InputError, match="at least 2"):
        choose(Rule(false_reject_rate=0.2), GOOD[:1], [])
